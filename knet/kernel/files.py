"""How many files this process may have open: the usual 1,024 are for programs that use select(2)."""

import resource

#: that a process has open besides
_OTHERS = 256


def allow_files(wanted: int) -> None:
    """Raise the limit so that so many more descriptors fit under it, as far as that is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted + _OTHERS:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(wanted + _OTHERS, soft), hard), hard))
