"""Names in filter expressions."""

import pytest
from inspect_cluster import NODES, PODS, SERVICES

from knet.errors import KnetError
from knet.inspect.capture.expression import resolved
from knet.inspect.names import Names
from knet.kernel import bpf

MEANT = {
    "tcp port 80": "tcp port 80",
    "host pod/web-0": "host 10.244.1.2",
    "host other/pod/web-0 and tcp": "host 10.244.1.5 and tcp",
    "src host svc/web or dst host node/n1": "src host (10.96.0.80 or 192.0.2.1) or dst host 172.18.0.3",
    "not (host pod/web-0)": "not (host 10.244.1.2)",
    "net 10.244.0.0/16": "net 10.244.0.0/16",
}


@pytest.fixture
def names() -> Names:
    found = Names()
    found.know(PODS, NODES, SERVICES)
    return found


@pytest.mark.parametrize("expression", MEANT)
def test_names_stand_for_addresses(expression: str, names: Names) -> None:
    assert resolved(expression, names) == MEANT[expression]
    assert bpf.program(MEANT[expression])


def test_names_without_an_address_are_refused(names: Names) -> None:
    with pytest.raises(KnetError, match="filter 'host pod/web-9': pod/web-9 has no address in namespace default"):
        resolved("host pod/web-9", names)
