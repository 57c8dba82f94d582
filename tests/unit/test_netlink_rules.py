"""What iptables-restore says, put in one line that names the rule."""

import pytest

from knet.kernel.rules import explain, rule_lines

TEXT = "*nat\n:X - [0:0]\n-A X -j NOPE\n-A X -j ACCEPT\nCOMMIT\n"


@pytest.mark.parametrize(
    ("stderr", "expected"),
    [
        pytest.param(
            'iptables-restore v1.8.9 (nf_tables): unknown option "--bogus"\n'
            "Error occurred at line: 4\nTry `iptables-restore -h' or 'iptables-restore --help' for more information.\n",
            'line 4, -A X -j ACCEPT: iptables-restore v1.8.9 (nf_tables): unknown option "--bogus"',
            id="the line is named",
        ),
        pytest.param(
            "iptables-restore v1.8.9 (nf_tables): Chain 'NOPE' does not exist\nError occurred at line: 5\n"
            "Try `iptables-restore -h' or 'iptables-restore --help' for more information.\n",
            "line 3, -A X -j NOPE: iptables-restore v1.8.9 (nf_tables): Chain 'NOPE' does not exist",
            id="found by the chain, for only COMMIT is named",
        ),
        pytest.param(
            "iptables-restore: line 3 failed: No chain/target/match by that name.\n",
            "line 3, -A X -j NOPE: iptables-restore: line 3 failed: No chain/target/match by that name.",
            id="another wording",
        ),
        pytest.param(
            "iptables-restore v1.8.11 (nf_tables): \nline 4: RULE_APPEND failed (No such file or directory)\n",
            "line 4, -A X -j ACCEPT: iptables-restore v1.8.11 (nf_tables): ; "
            "line 4: RULE_APPEND failed (No such file or directory)",
            id="newer versions",
        ),
        pytest.param("", "iptables-restore failed without a word", id="silence"),
        pytest.param("Fatal: can't open lock file\n", "Fatal: can't open lock file", id="no line at all"),
    ],
)
def test_the_offending_rule_is_quoted(stderr: str, expected: str):
    assert explain(TEXT, stderr) == expected


def test_rules_of_one_chain():
    saved = "*nat\n:X - [0:0]\n:XY - [0:0]\n-A X -j ACCEPT\n-A XY -j RETURN\nCOMMIT\n"
    assert rule_lines(saved, "X") == ["-A X -j ACCEPT"]
    assert rule_lines(saved, "Z") is None
