"""What a node's fluentd does with the output plugin stdout: every line of every container's log below /var/log/pods.

One line each, from the first on: time, tag, record. Its own pod's is left out.
"""

import json
import os
import signal
import socket
import sys
import time

ROOT = "/var/log/pods"


def files():
    """(pod's directory, path) of all logs that are there now."""
    me = f"_{socket.gethostname()}_"
    for pod in os.listdir(ROOT) if os.path.isdir(ROOT) else ():
        for directory, _, names in os.walk(f"{ROOT}/{pod}") if me not in pod else ():
            yield from (f"{directory}/{name}" for name in names if name.endswith(".log"))


def lines(path, done):
    """The complete lines after the first ``done`` bytes, and how many bytes are done then."""
    try:
        with open(path, "rb") as file:
            file.seek(done)
            data = file.read()
    except OSError:  # its pod has gone
        return [], done
    complete, _, _ = data.rpartition(b"\n")
    return complete.decode(errors="replace").splitlines(), done + (len(complete) + 1 if complete else 0)


def tell(path, line):
    """A line in CRI form: time, stream, F or P, text."""
    moment, stream, mark, text = [*line.split(" ", 3), "", "", ""][:4]
    tag = "kubernetes" + path.replace("/", ".")
    print(moment, f"{tag}:", json.dumps({"stream": stream, "logtag": mark, "log": text}))


def main(arguments):
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    done = {}
    while True:
        for path in files():
            fresh, done[path] = lines(path, done.get(path, 0))
            for line in fresh:
                tell(path, line)
        sys.stdout.flush()
        time.sleep(1)
