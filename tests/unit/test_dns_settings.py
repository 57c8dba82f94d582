"""What Corefiles ask for, and what is wrong with those that do not."""

import pytest

from knet.cluster.addons import COREFILE
from knet.dns.corefile import ConfigError, Directive, parse
from knet.dns.settings import Cache, Forward, Kubernetes, read


def one(line, directory=None):
    """The server block that a plugin's lines make."""
    settings = read(f".:53 {{\n{line}\n}}", **({"directory": directory} if directory else {}))
    return settings.blocks[0]


def test_the_file_that_every_cluster_starts_with(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/resolv.conf").write_text("search a.example\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\n")
    found = read(COREFILE, directory=tmp_path)
    assert (found.health, found.ready, found.metrics) == (("", 8080), ("", 8181), ("", 9153))
    assert (found.lameduck, found.reload) == (5, 2)
    [block] = found.blocks
    assert block.zones == ((),)
    assert block.kubernetes == Kubernetes("cluster.local", 5, pods=True)
    assert block.forwards == [Forward((), (("192.0.2.53", 53), ("fe80::1", 53)), max_concurrent=1000)]
    assert block.cache == Cache((9984, 30), (9984, 30))
    assert (block.loop, block.shuffled, block.log) == (True, True, False)


def test_without_a_name_server_nobody_is_asked(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/resolv.conf").write_text("# none\n")
    assert read(COREFILE, directory=tmp_path).blocks[0].forwards[0].upstreams == ()


def test_blocks_braces_comments_and_quotes():
    text = 'a.example, b.example:53 {  # two\n  log\n  x "a b" "c\\"d" {\n y\n}\n}\nc.example {\n}\n'
    assert parse(text) == (
        Directive(
            ("a.example,", "b.example:53"),
            (Directive(("log",), (), 2), Directive(("x", "a b", 'c"d'), (Directive(("y",), (), 4),), 3)),
            1,
        ),
        Directive(("c.example",), (), 7),
    )


def test_zones_of_a_block():
    zones = read("Consul.local dns://b.example.:53, . {\n}").blocks[0].zones
    assert zones == (("consul", "local"), ("b", "example"), ())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("forward . 192.0.2.1 192.0.2.2:5353 [2001:db8::1]:53 2001:db8::2",
         Forward((), (("192.0.2.1", 53), ("192.0.2.2", 5353), ("2001:db8::1", 53), ("2001:db8::2", 53)))),
        ("forward example.org dns://192.0.2.1 {\nexcept a.example.org b.example.org\npolicy sequential\nforce_tcp\n"
         "max_fails 0\nread_timeout 500ms\n}",
         Forward(("example", "org"), (("192.0.2.1", 53),), (("a", "example", "org"), ("b", "example", "org")),
                 "sequential", True, 0, 0, 0.5)),
    ],
)  # fmt: skip
def test_forward(line, expected):
    assert one(line).forwards == [expected]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("cache", Cache((9984, 3600), (9984, 1800))),
        ("cache 30 example.org", Cache((9984, 30), (9984, 30))),
        ("cache 30 {\nsuccess 100\ndenial 200 5\nservfail 1m30s\n}", Cache((100, 30), (200, 5), 90)),
        ("cache {\ndisable denial\n}", Cache((9984, 3600), (0, 1800))),
        ("cache 30 {\ndisable success cluster.local\ndisable denial cluster.local\n}", Cache((9984, 30), (9984, 30))),
    ],
)
def test_cache(line, expected):
    assert one(line).cache == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (". {\n  chaos\n}", "Corefile:2 - Error during parsing: Unknown directive 'chaos'"),
        (". {\n  log\n", "Corefile:1 - Error during parsing: Unexpected EOF: a closing brace is missing"),
        ("}\n", "Corefile:1 - Error during parsing: Unexpected '}' because no matching opening brace"),
        ("{\n}\n", "Corefile:1 - Error during parsing: nothing stands before '{'"),
        (".:5353 {\n}", "Corefile:1 - Error during parsing: .:5353: this server listens at port 53"),
        (". {\nforward . dns.example\n}",
         'Corefile:2 - Error during parsing: plugin/forward: not an IP address or file: "dns.example"'),
        (". {\nforward . 192.0.2.1 {\ntls\n}\n}",
         "Corefile:2 - Error during parsing: plugin/forward: unknown property 'tls'"),
        (". {\nforward . 192.0.2.1 {\nmax_fails many\n}\n}",
         "Corefile:2 - Error during parsing: plugin/forward: not a number: many"),
        (". {\nforward . 192.0.2.1 {\npolicy best\n}\n}",
         "Corefile:2 - Error during parsing: plugin/forward: unknown policy 'best'"),
        (". {\nforward .\n}", "Corefile:2 - Error during parsing: plugin/forward: whom to ask?"),
        (". {\nkubernetes {\nttl 3601\n}\n}",
         "Corefile:2 - Error during parsing: plugin/kubernetes: ttl must be in range [0, 3600]: 3601"),
        (". {\nkubernetes {\npods verified\n}\n}",
         "Corefile:2 - Error during parsing: plugin/kubernetes: pods verified: only disabled and insecure"),
        (". {\nreload soon\n}", "Corefile:2 - Error during parsing: plugin/reload: not a duration: soon"),
        (". {\nready host\n}", "Corefile:2 - Error during parsing: plugin/ready: not a number: host"),
        (". {\nloadbalance weighted\n}",
         "Corefile:2 - Error during parsing: plugin/loadbalance: unknown policy: weighted"),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_their_line(text, message):
    with pytest.raises(ConfigError) as error:
        read(text)
    assert str(error.value) == message


def test_a_file_that_is_not_there_is_no_upstream(tmp_path):
    with pytest.raises(OSError, match=r"resolv\.conf"):
        one("forward . /etc/resolv.conf", tmp_path)
