"""Which file a program's name means, and which signals it starts with."""

import os
import signal

#: of containers and of our own look-ups, as docker sets it
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: at their default in each program, whatever we ignore or have inherited (a shell's "&" ignores SIGINT and SIGQUIT)
DEFAULTED = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


def find_program(name: str, path: str, cwd: str = "/") -> str:
    """The file that ``name`` means, as execvp finds it below this thread's root.

    Raises FileNotFoundError, or PermissionError for a file that is not executable.
    """
    if "/" in name:
        candidates = [os.path.join(cwd, name)]
    else:
        candidates = [os.path.join(directory, name) for directory in path.split(":") if directory]
    refused = False
    for candidate in candidates:
        if os.path.isfile(candidate):
            if os.access(candidate, os.X_OK):
                return candidate
            refused = True
    if refused:
        raise PermissionError(f'exec: "{name}": permission denied')
    if "/" in name:
        raise FileNotFoundError(f'exec: "{name}": stat {name}: no such file or directory')
    raise FileNotFoundError(f'exec: "{name}": executable file not found in $PATH')
