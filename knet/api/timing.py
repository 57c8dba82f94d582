"""Every interval of the control plane, under upstream's names, in two profiles.

``lab`` lets a class watch a failure being noticed and mended; ``upstream`` holds Kubernetes' own defaults.  All
values are seconds.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """One profile.  Names: the flags and fields of kube-controller-manager, kubelet and kube-apiserver."""

    node_lease_duration: float  # kubelet nodeLeaseDurationSeconds; renewed every quarter of it
    node_status_update_frequency: float  # kubelet nodeStatusUpdateFrequency
    node_monitor_period: float  # controller-manager --node-monitor-period
    node_monitor_grace_period: float  # controller-manager --node-monitor-grace-period
    node_eviction_rate: float  # --node-eviction-rate: silent nodes emptied per second, in each zone
    secondary_node_eviction_rate: float  # --secondary-node-eviction-rate: in a large zone most of which is silent
    default_toleration: int  # apiserver --default-not-ready-toleration-seconds and …unreachable…
    crash_backoff: float  # kubelet: first delay after a crash; doubled each time
    crash_backoff_max: float  # kubelet maxContainerRestartPeriod
    image_backoff: float  # kubelet: first delay after a failed pull; doubled each time
    image_backoff_max: float
    metric_resolution: float  # metrics-server --metric-resolution: CPU usage is a rate over about so long
    eviction_monitoring_period: float  # kubelet: how often it looks whether memory is short (upstream's 10 s are fixed)
    eviction_pressure_transition_period: float  # kubelet evictionPressureTransitionPeriod
    shutdown_grace_period: float  # kubelet shutdownGracePeriod; 0: a machine that goes down asks nobody
    shutdown_grace_period_critical_pods: (
        float  # kubelet shutdownGracePeriodCriticalPods: of these, for the critical ones
    )
    flannel_sync: float  # flanneld and kube-proxy repair what others deleted in such intervals
    proxy_sync: float  # kube-proxy iptables.syncPeriod
    load_balancer_advertisement_interval: float  # VRRP Advertisement_Interval: three silent ones end a holder's time
    pod_initial_backoff: float  # scheduler podInitialBackoffSeconds: before the second attempt; doubled each time
    pod_max_backoff: float  # scheduler podMaxBackoffSeconds
    pod_max_in_unschedulable_pods_duration: float  # scheduler: tried again after so long even without a hint
    job_backoff: float  # job controller DefaultJobPodFailureBackOff: before a failed pod is replaced; doubled each time
    job_backoff_max: float  # job controller MaxJobPodFailureBackOff
    hpa_sync: float  # --horizontal-pod-autoscaler-sync-period
    hpa_downscale_stabilization: float  # --horizontal-pod-autoscaler-downscale-stabilization
    hpa_cpu_initialization: float  # --horizontal-pod-autoscaler-cpu-initialization-period
    hpa_initial_readiness_delay: float  # --horizontal-pod-autoscaler-initial-readiness-delay


UPSTREAM = Timing(
    node_lease_duration=40,
    node_status_update_frequency=10,
    node_monitor_period=5,
    node_monitor_grace_period=40,
    node_eviction_rate=0.1,
    secondary_node_eviction_rate=0.01,
    default_toleration=300,
    crash_backoff=10,
    crash_backoff_max=300,
    image_backoff=10,
    image_backoff_max=300,
    metric_resolution=15,
    eviction_monitoring_period=10,
    eviction_pressure_transition_period=300,
    shutdown_grace_period=0,
    shutdown_grace_period_critical_pods=0,
    flannel_sync=10,
    proxy_sync=30,
    load_balancer_advertisement_interval=1,
    pod_initial_backoff=1,
    pod_max_backoff=10,
    pod_max_in_unschedulable_pods_duration=300,
    job_backoff=10,
    job_backoff_max=600,
    hpa_sync=15,
    hpa_downscale_stabilization=300,
    hpa_cpu_initialization=300,
    hpa_initial_readiness_delay=30,
)

LAB = Timing(
    node_lease_duration=4,
    node_status_update_frequency=10,
    node_monitor_period=0.5,
    node_monitor_grace_period=4,
    node_eviction_rate=2,
    secondary_node_eviction_rate=0.2,
    default_toleration=2,
    crash_backoff=1,
    crash_backoff_max=30,
    image_backoff=2,
    image_backoff_max=30,
    metric_resolution=5,
    eviction_monitoring_period=2,
    eviction_pressure_transition_period=10,
    shutdown_grace_period=6,
    shutdown_grace_period_critical_pods=2,
    flannel_sync=5,
    proxy_sync=10,
    load_balancer_advertisement_interval=0.2,
    pod_initial_backoff=0.05,
    pod_max_backoff=5,
    pod_max_in_unschedulable_pods_duration=60,
    job_backoff=1,
    job_backoff_max=60,
    hpa_sync=2,
    hpa_downscale_stabilization=20,
    hpa_cpu_initialization=10,
    hpa_initial_readiness_delay=3,
)

PROFILES = {"lab": LAB, "upstream": UPSTREAM}
