"""What users are told when a cluster cannot do what they ask."""

from knet.errors import KnetError

__all__ = ["Breakdown", "KnetError"]


class Breakdown(KnetError):
    """Something that the user could not foresee broke; the cluster's logs are kept to tell of it."""
