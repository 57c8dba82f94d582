"""nftables' transactions in a real kernel."""

import pytest

from knet.kernel import nft
from knet.kernel.namespaces import create, run_in
from knet.kernel.rules import RulesError

pytestmark = pytest.mark.root

TABLE = "table inet t {\n  chain a { drop; }\n  chain b { jump a; }\n}\n"


def test_a_batch_is_taken_whole_or_not_at_all():
    def body() -> None:
        assert nft.listing("inet", "t") is None
        nft.apply(TABLE)
        before = nft.listing("inet", "t")
        assert [next(iter(row)) for row in before] == ["table", "chain", "chain", "rule", "rule"]
        with pytest.raises(RulesError, match=r"^line 2, delete chain inet t a: Could not process rule: Device or"):
            nft.apply("flush chain inet t a\ndelete chain inet t a\n")
        assert nft.listing("inet", "t") == before
        with pytest.raises(RulesError, match=r"^line 1, add nonsense: syntax error, unexpected newline"):
            nft.apply("add nonsense\n")

    machine = create("net")
    try:
        run_in(machine, body)
    finally:
        machine.close()
