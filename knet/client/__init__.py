"""What every component shares to be an ordinary Kubernetes client.

`Client` speaks to the API server, `Informer` keeps a list-and-watch cache, `WorkQueue` and `Controller` turn
changes into reconciled keys, `EventRecorder` tells users why, `LeaderElector` lets one of several act, and
`component.run` is the frame around a component's process.
"""

from knet.client.client import (
    AlreadyExists,
    ApiError,
    Client,
    Conflict,
    Gone,
    Invalid,
    Listing,
    NotFound,
    Unavailable,
    WatchEvent,
)
from knet.client.controller import Controller, Key, Reconciler, Result, WorkQueue, key_of
from knet.client.events import EventRecorder
from knet.client.index import Index
from knet.client.informer import Informer
from knet.client.informers import SharedInformers
from knet.client.leader import LeaderElector

__all__ = [
    "AlreadyExists",
    "ApiError",
    "Client",
    "Conflict",
    "Controller",
    "EventRecorder",
    "Gone",
    "Index",
    "Informer",
    "Invalid",
    "Key",
    "LeaderElector",
    "Listing",
    "NotFound",
    "Reconciler",
    "Result",
    "SharedInformers",
    "Unavailable",
    "WatchEvent",
    "WorkQueue",
    "key_of",
]
