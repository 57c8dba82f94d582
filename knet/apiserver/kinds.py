"""Which kind behaves how: the one table that joins registry rows with defaults, validation and preparation."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from knet.api import resources
from knet.api.resources import Resource
from knet.api.schema import Schema
from knet.apiserver import formats, prepare
from knet.apiserver.conversion import CONVERSIONS
from knet.apiserver.custom import definition
from knet.apiserver.defaults import apps as apps_defaults
from knet.apiserver.defaults import batch as batch_defaults
from knet.apiserver.defaults import core as core_defaults
from knet.apiserver.defaults import pod as pod_defaults
from knet.apiserver.defaults import policy as policy_defaults
from knet.apiserver.defaults import storage as storage_defaults
from knet.apiserver.kind import Conversion, Kind, Part, Strategy
from knet.apiserver.validation import (
    access,
    admission_policies,
    apps,
    batch,
    claim,
    cluster,
    data,
    endpoints,
    networking,
    node,
    pod,
    policy,
    service,
    service_traffic,
    storage,
    webhooks,
)
from knet.store import Object


def _at(path: str) -> Callable[[Object], str]:
    """Reads one field as text: "" where it is absent, true and false for booleans."""
    keys = path.split(".")

    def read(value: Object) -> str:
        here: object = value
        for key in keys:
            here = here.get(key) if isinstance(here, dict) else None
        if here is None:
            return ""
        return str(here).lower() if isinstance(here, bool) else str(here)

    return read


def _flag(path: str) -> Callable[[Object], str]:
    """Reads a boolean that is false where it is absent."""
    read = _at(path)
    return lambda value: read(value) or "false"


def _fields(*paths: str) -> dict[str, Callable[[Object], str]]:
    return {path: _at(path) for path in paths}


def _replicas(value: Object) -> str:
    return str(value.get("status", {}).get("replicas", 0))


_PLAIN = Strategy()
STRATEGIES: Mapping[Resource, Strategy] = {
    resources.PODS: Strategy(
        default=pod_defaults.default_pod,
        prepare_create=prepare.new_pod,
        validate=pod.validate_pod,
        validate_create=pod.validate_new_pod,
        validate_update=pod.validate_pod_update,
        grace_period=prepare.pod_grace_period,
        status_keeps=("ownerReferences",),
        returns_deleted=True,
        parts={
            "ephemeralcontainers": Part(
                restrict=prepare.only_ephemeral_containers, validate=pod.validate_ephemeral_containers_update
            )
        },
        fields=_fields(
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        )
        | {"spec.hostNetwork": _flag("spec.hostNetwork")},
    ),
    resources.NAMESPACES: Strategy(
        default=core_defaults.default_namespace,
        first_status={"phase": "Active"},
        prepare_create=prepare.new_namespace,
        prepare_update=prepare.keep_namespace,
        check_name=formats.dns_label,
        returns_deleted=True,
        fields=_fields("status.phase"),
    ),
    resources.NODES: Strategy(
        default=core_defaults.default_node,
        validate=node.validate_node,
        validate_update=node.validate_node_update,
        status_on_create=True,
        fields={"spec.unschedulable": _flag("spec.unschedulable")},
    ),
    resources.SERVICES: Strategy(
        default=core_defaults.default_service,
        first_status={"loadBalancer": {}},
        prepare_create=prepare.new_service,
        prepare_update=prepare.keep_service,
        validate=service.validate_service,
        validate_update=service.validate_service_update,
        validate_status_update=service_traffic.validate_service_status,
        check_name=formats.dns_1035_label,
        create_on_update=True,
        returns_deleted=True,
        fields=_fields("spec.clusterIP", "spec.type"),
    ),
    resources.SECRETS: Strategy(
        default=core_defaults.default_secret,
        validate=data.validate_secret,
        validate_update=data.validate_secret_update,
        fields=_fields("type"),
    ),
    resources.COMPONENTSTATUSES: Strategy(deprecation="v1 ComponentStatus is deprecated in v1.19+"),
    resources.CONFIGMAPS: Strategy(validate=data.validate_config_map, validate_update=data.validate_config_map_update),
    resources.SERVICEACCOUNTS: Strategy(returns_deleted=True),
    resources.ENDPOINTS: Strategy(
        default=core_defaults.default_endpoints, validate=endpoints.validate_endpoints, create_on_update=True
    ),
    resources.EVENTS: Strategy(
        validate=cluster.validate_event,
        propagation="",
        create_on_update=True,
        fields=_fields(
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "type",
        )
        | {"source": _at("source.component")},
    ),
    resources.ENDPOINTSLICES: Strategy(
        default=core_defaults.default_endpoint_slice,
        validate=endpoints.validate_endpoint_slice,
        validate_update=endpoints.validate_endpoint_slice_update,
        generation=True,
    ),
    resources.LEASES: Strategy(validate=cluster.validate_lease, create_on_update=True, unconditional_update=False),
    resources.DEPLOYMENTS: Strategy(
        status_keeps=("labels",),
        default=apps_defaults.default_deployment,
        validate=apps.validate_deployment,
        validate_update=apps.validate_selector_update,
        generation=True,
    ),
    resources.REPLICASETS: Strategy(
        first_status={"replicas": 0},
        default=apps_defaults.default_replica_set,
        validate=apps.validate_replica_set,
        validate_update=apps.validate_selector_update,
        generation=True,
        fields={"status.replicas": _replicas},
    ),
    resources.STATEFULSETS: Strategy(
        first_status={"replicas": 0, "availableReplicas": 0},
        default=apps_defaults.default_stateful_set,
        validate=apps.validate_stateful_set,
        validate_update=apps.validate_stateful_set_update,
        generation=True,
    ),
    resources.DAEMONSETS: Strategy(
        first_status={
            "currentNumberScheduled": 0,
            "numberMisscheduled": 0,
            "desiredNumberScheduled": 0,
            "numberReady": 0,
        },
        default=apps_defaults.default_daemon_set,
        validate=apps.validate_daemon_set,
        validate_update=apps.validate_selector_update,
        generation=True,
    ),
    resources.REPLICATIONCONTROLLERS: Strategy(
        first_status={"replicas": 0},
        propagation="Orphan",
        default=apps_defaults.default_replication_controller,
        validate=apps.validate_replication_controller,
        generation=True,
        fields={"status.replicas": _replicas},
    ),
    resources.PODTEMPLATES: Strategy(
        default=apps_defaults.default_pod_template, validate=apps.validate_pod_template, generation=True
    ),
    resources.JOBS: Strategy(
        propagation="Orphan",
        default=batch_defaults.default_job,
        prepare_create=prepare.new_job,
        validate=batch.validate_job,
        validate_update=batch.validate_job_update,
        generation=True,
        fields={"status.successful": lambda value: str(value.get("status", {}).get("succeeded", 0))},
    ),
    resources.CRONJOBS: Strategy(
        default=batch_defaults.default_cron_job, validate=batch.validate_cron_job, generation=True
    ),
    resources.HORIZONTALPODAUTOSCALERS: Strategy(
        first_status={"desiredReplicas": 0},
        default=policy_defaults.default_autoscaler,
        validate=policy.validate_autoscaler,
    ),
    resources.PODDISRUPTIONBUDGETS: Strategy(
        first_status={"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0},
        validate=policy.validate_budget,
        generation=True,
        unconditional_update=False,
    ),
    resources.RESOURCEQUOTAS: Strategy(
        validate=policy.validate_quota, validate_update=policy.validate_quota_update, returns_deleted=True
    ),
    resources.LIMITRANGES: Strategy(
        default=policy_defaults.default_limit_range, validate=policy.validate_limit_range, create_on_update=True
    ),
    resources.PRIORITYCLASSES: Strategy(
        default=policy_defaults.default_priority_class,
        validate=policy.validate_priority_class,
        validate_update=policy.validate_priority_class_update,
        generation=True,
    ),
    resources.NETWORKPOLICIES: Strategy(
        default=policy_defaults.default_network_policy, validate=networking.validate_network_policy, generation=True
    ),
    resources.INGRESSES: Strategy(
        first_status={"loadBalancer": {}}, validate=networking.validate_ingress, generation=True
    ),
    resources.INGRESSCLASSES: Strategy(
        validate=networking.validate_ingress_class,
        validate_update=networking.validate_ingress_class_update,
        generation=True,
    ),
    resources.PERSISTENTVOLUMES: Strategy(
        default=storage_defaults.default_volume,
        first_status={"phase": "Pending"},
        validate=storage.validate_volume,
        validate_update=storage.validate_volume_update,
        returns_deleted=True,
    ),
    resources.PERSISTENTVOLUMECLAIMS: Strategy(
        default=storage_defaults.default_claim,
        first_status={"phase": "Pending"},
        validate=claim.validate_claim,
        validate_update=claim.validate_claim_update,
        returns_deleted=True,
    ),
    resources.STORAGECLASSES: Strategy(
        default=storage_defaults.default_storage_class,
        validate=storage.validate_storage_class,
        validate_update=storage.validate_storage_class_update,
        returns_deleted=True,
    ),
    resources.CSIDRIVERS: Strategy(
        default=storage_defaults.default_csi_driver, generation=True, returns_deleted=True, unconditional_update=False
    ),
    resources.CSINODES: Strategy(returns_deleted=True, unconditional_update=False),
    resources.CSISTORAGECAPACITIES: Strategy(unconditional_update=False),
    resources.VOLUMEATTACHMENTS: Strategy(returns_deleted=True, unconditional_update=False),
    resources.ROLES: Strategy(validate=access.validate_role, check_name=formats.path_segment, create_on_update=True),
    resources.CLUSTERROLES: Strategy(
        validate=access.validate_cluster_role, check_name=formats.path_segment, create_on_update=True
    ),
    resources.ROLEBINDINGS: Strategy(
        default=policy_defaults.default_binding,
        validate=access.validate_role_binding,
        validate_update=access.validate_binding_update,
        check_name=formats.path_segment,
        create_on_update=True,
    ),
    resources.CLUSTERROLEBINDINGS: Strategy(
        default=policy_defaults.default_binding,
        validate=access.validate_cluster_role_binding,
        validate_update=access.validate_binding_update,
        check_name=formats.path_segment,
        create_on_update=True,
    ),
    resources.RUNTIMECLASSES: Strategy(
        validate=access.validate_runtime_class, create_on_update=True, unconditional_update=False
    ),
    resources.CERTIFICATESIGNINGREQUESTS: Strategy(
        prepare_update=prepare.keep_spec,
        validate=access.validate_request,
        check_name=formats.path_segment,
        fields=_fields("spec.signerName"),
        parts={"approval": Part(restrict=prepare.only_decision, of_status=True)},
    ),
    resources.MUTATINGWEBHOOKCONFIGURATIONS: Strategy(
        default=policy_defaults.default_webhooks,
        validate=webhooks.validate_mutating,
        generation=True,
        unconditional_update=False,
    ),
    resources.VALIDATINGWEBHOOKCONFIGURATIONS: Strategy(
        default=policy_defaults.default_webhooks,
        validate=webhooks.validate_validating,
        generation=True,
        unconditional_update=False,
    ),
    resources.VALIDATINGADMISSIONPOLICIES: Strategy(
        default=policy_defaults.default_admission_policy,
        prepare_create=prepare.new_policy,
        prepare_update=prepare.changed_policy,
        validate=admission_policies.validate_policy,
        generation=True,
        unconditional_update=False,
    ),
    resources.VALIDATINGADMISSIONPOLICYBINDINGS: Strategy(
        default=policy_defaults.default_policy_binding,
        validate=admission_policies.validate_binding,
        generation=True,
        unconditional_update=False,
    ),
    resources.FLOWSCHEMAS: Strategy(default=policy_defaults.default_flow_schema, generation=True),
    resources.PRIORITYLEVELCONFIGURATIONS: Strategy(default=policy_defaults.default_priority_level, generation=True),
    resources.CUSTOMRESOURCEDEFINITIONS: Strategy(
        default=definition.default,
        prepare_create=definition.prepare_create,
        prepare_update=definition.prepare_update,
        prepare_delete=definition.prepare_delete,
        validate=definition.validate,
        validate_update=definition.validate_update,
        generation=True,
        unconditional_update=False,
    ),
    resources.CONTROLLERREVISIONS: Strategy(
        validate=apps.validate_controller_revision, validate_update=apps.validate_controller_revision_update
    ),
}


def served(schema: Schema) -> dict[Resource, Kind]:
    """The kinds of the registry, ready to be served."""
    kinds = {
        row: Kind(row, schema.type_of(row.group, row.version, row.kind), STRATEGIES.get(row, _PLAIN))
        for row in resources.RESOURCES
    }
    for row, form in CONVERSIONS.items():
        assert row.storage is not None
        conversion = Conversion(kinds[row.storage], form.to_stored, form.from_stored, form.labels)
        kinds[row] = replace(kinds[row], conversion=conversion)
    return kinds


#: bodies of subresources: no resources of their own
_AUXILIARY = (
    Resource("", "v1", "DeleteOptions", "deleteoptions"),
    Resource("", "v1", "Binding", "bindings"),
    resources.SCALES,
    Resource("policy", "v1", "Eviction", "evictions"),
    Resource("authentication.k8s.io", "v1", "TokenRequest", "tokenrequests"),
)


def auxiliary(schema: Schema) -> dict[str, Kind]:
    """The kinds that subresources exchange, by name."""
    return {row.kind: Kind(row, schema.type_of(row.group, row.version, row.kind), _PLAIN) for row in _AUXILIARY}


def schema_kinds() -> tuple[tuple[str, str, str], ...]:
    """(group, version, kind) of all that is served, for compiling the schema."""
    return tuple((row.group, row.version, row.kind) for row in (*resources.RESOURCES, *_AUXILIARY))
