"""The kubelet: makes the pods bound to one machine run there, and says how they are.

`main` registers the Node and watches the pods of this machine; each pod has one worker (`pods`), whose next step is
decided by a pure function from spec and observed state; `runtime` is the container runtime beneath, `volumes` and
`environment` prepare what containers see, `probes` ask them how they are, `server` answers the API server's
log, exec, attach and port-forward requests.
"""
