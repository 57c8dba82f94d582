"""The container runtime: sandboxes and containers, as kernel objects plus small records on disk.

`shim` is the process that starts containers, collects their output and records how they end; it outlives the
kubelet, as containerd does.  `shim_client` talks to it.  `rootfs` decides what a container's file system is made of,
`sandbox` makes the namespaces of a pod, `containers` keeps the records by which the next kubelet adopts what runs,
`logs` reads and follows the log files.
"""
