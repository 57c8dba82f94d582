"""nftables in its own transactional text: apply a batch of commands, list a table.

Everything happens in the network namespace of the calling thread.  A batch is one transaction: the kernel either
takes all of it or leaves everything as it was.  Done by libnftables in this process, 0.1 ms where a process of nft(8)
costs 4; sets of thousands of elements are better spoken of in the kernel's own words (`knet.kernel.nft_elements`).
"""

import ctypes
import functools
import os
import re
import threading

import orjson

from knet.kernel.rules import RulesError

_LIBRARY = "libnftables.so.1"
_JSON, _HANDLES, _TERSE = 1 << 4, 1 << 3, 1 << 11  # NFT_CTX_OUTPUT_*
#: which generation of rules it is reading, the library remembers once for all contexts (src/mnl.c): threads in two
#: network namespaces would take each other's for a change and start over, for minutes
_ONE_AT_A_TIME = threading.Lock()
_CHAIN = re.compile(r"^\tchain (\S+) \{$")
#: what nft says about a line of its input, the line and a row of carets below it
_COMPLAINT = re.compile(r"^\S+:(\d+):\d+(?:-\d+)?: Error: (.*)$", re.MULTILINE)


def apply(text: str) -> None:
    """Carry out the commands of ``text`` as one transaction; RulesError, with nothing changed."""
    failed, _, complaint = _run(text)
    if failed:
        raise RulesError(explain(text, complaint))


def listing(family: str, table: str) -> list[dict[str, object]] | None:
    """A table as libnftables-json(5) has it: tables, sets, maps, chains and rules in one list; None for no table.

    Raises RulesError where the kernel refuses for another reason.
    """
    failed, output, complaint = _run(f"list table {family} {table}", _JSON)
    if failed:
        if "No such file or directory" in complaint:
            return None
        raise RulesError(explain("", complaint))
    found: list[dict[str, object]] = orjson.loads(output)["nftables"]
    return [row for row in found if "metainfo" not in row]


def chains(family: str, table: str) -> dict[str, list[str]]:
    """The rules of each chain of a table as nft prints them, a base chain's hook before them, with counters' numbers.

    Empty where there is no such table.

    Raises RulesError where the kernel refuses for another reason.
    """
    failed, output, complaint = _run(f"list ruleset {family}", _TERSE)  # for one table all elements are read as well
    if failed:
        raise RulesError(explain("", complaint))
    return parse_chains(output, family, table)


def parse_chains(listing: str, family: str, table: str) -> dict[str, list[str]]:
    """What `chains` returns, out of nft's text of all tables.  Pure."""
    found: dict[str, list[str]] = {}
    rules: list[str] | None = None
    of_table = False
    for line in listing.splitlines():
        if line.startswith("table "):
            of_table = line == f"table {family} {table} {{"
        elif not of_table:
            continue
        elif begins := _CHAIN.match(line):
            rules = found.setdefault(begins[1], [])
        elif line == "\t}":
            rules = None
        elif rules is not None:
            rules.append(line.strip())
    return found


def rules(family: str, table: str, chain: str) -> dict[int, str]:
    """The rules of a chain, as nft(8) writes them, by their handles; none where there is no such chain."""
    failed, output, _ = _run(f"list chain {family} {table} {chain}", _HANDLES)
    lines = (line.strip().rpartition(" # handle ") for line in output.splitlines() if not failed)
    return {int(handle): text for text, _, handle in lines if text and not text.endswith("{")}


class Owned:
    """Tables with ``flags owner``: the kernel removes them when this is closed, or the process ends, however it does.

    Made in the network namespace of the calling thread, by one transaction; RulesError.
    """

    def __init__(self, text: str) -> None:
        self._context = _library().nft_ctx_new(0)
        failed, _, complaint = _told(self._context, text)
        if failed:
            self.close()
            raise RulesError(explain(text, complaint))

    def close(self) -> None:
        """May be called again."""
        if self._context is not None:
            _library().nft_ctx_free(self._context)
            self._context = None


def explain(text: str, stderr: str) -> str:
    """One line out of what nft said about ``text``: the offending command, if it can be told, and why."""
    found = _COMPLAINT.search(stderr)
    if found is None:
        return next((line for line in stderr.splitlines() if line.strip()), "nft failed without a word")
    number, why = int(found[1]), found[2]
    lines = text.splitlines()
    command = lines[number - 1].strip() if 1 <= number <= len(lines) else ""
    return f"line {number}, {command}: {why}" if command else why


def _run(text: str, flags: int = 0) -> tuple[bool, str, str]:
    """Whether it failed, what was printed, and what was complained about."""
    library = _library()
    context = library.nft_ctx_new(0)
    try:
        library.nft_ctx_output_set_flags(context, flags)
        return _told(context, text)
    finally:
        library.nft_ctx_free(context)


def _told(context: int, text: str) -> tuple[bool, str, str]:
    """`_run` by a context, whose socket, and hence network namespace, is that of its beginning."""
    library = _library()
    library.nft_ctx_buffer_output(context)
    library.nft_ctx_buffer_error(context)
    with os.fdopen(os.memfd_create("nft"), "w") as file:  # of a buffer's lines, only a file's are told in complaints
        file.write(text)
        file.flush()
        with _ONE_AT_A_TIME:
            failed = library.nft_run_cmd_from_filename(context, f"/proc/self/fd/{file.fileno()}".encode()) != 0
    output, complaint = library.nft_ctx_get_output_buffer(context), library.nft_ctx_get_error_buffer(context)
    return failed, output.decode(), complaint.decode()


@functools.cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        raise RulesError("libnftables is not installed (Debian: apt install libnftables1)") from None
    context, text, flags = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint
    for name, result, arguments in (
        ("nft_ctx_new", context, (ctypes.c_uint32,)),
        ("nft_ctx_free", None, (context,)),
        ("nft_ctx_buffer_output", ctypes.c_int, (context,)),
        ("nft_ctx_buffer_error", ctypes.c_int, (context,)),
        ("nft_ctx_output_set_flags", None, (context, flags)),
        ("nft_run_cmd_from_filename", ctypes.c_int, (context, text)),
        ("nft_ctx_get_output_buffer", text, (context,)),
        ("nft_ctx_get_error_buffer", text, (context,)),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
