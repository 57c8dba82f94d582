"""What a policy rule allows, what a set of rules lacks, and how requests and refusals read."""

import pytest

from knet.apiserver.authorization.attributes import Attributes, of_path, refusal
from knet.apiserver.authorization.policy import rule
from knet.apiserver.authorization.rbac import Policy
from knet.apiserver.authorization.rules import Rule, compact, uncovered
from knet.apiserver.http import Body, Headers, Peer, Request
from knet.apiserver.user import User

JANE = User("jane", ("dev", "system:authenticated"))


def wants(text: str) -> Attributes:
    """``get deployments.apps/scale web in shop`` or ``get /metrics``."""
    verb, what, *rest = text.split()
    if what.startswith("/"):
        return Attributes(JANE, verb, path=what)
    namespace = rest[rest.index("in") + 1] if "in" in rest else ""
    name = rest[0] if rest and rest[0] != "in" else ""
    resource, _, subresource = what.partition("/")
    plural, _, group = resource.partition(".")
    return Attributes(JANE, verb, group, plural, subresource, namespace, name)


ALLOWS = [
    (rule("get list", "core", "pods"), "get pods web", True),
    (rule("get list", "core", "pods"), "list pods in shop", True),
    (rule("get list", "core", "pods"), "delete pods web", False),
    (rule("get", "core", "pods"), "get pods/log web", False),
    (rule("get", "core", "pods/log"), "get pods/log web", True),
    (rule("get", "core", "pods/log"), "get pods web", False),
    (rule("get", "core", "pods"), "get pods.metrics.k8s.io web", False),
    (rule("get", "apps", "*"), "get deployments.apps/scale web", True),
    (rule("get", "*", "*/scale"), "get deployments.apps/scale web", True),
    (rule("get", "*", "*/scale"), "get deployments.apps web", False),
    (rule("*", "*", "*"), "impersonate users jane", True),
    (rule("*", "*", "*"), "get /metrics", False),
    (rule("get", "core", "secrets", "a b"), "get secrets b", True),
    (rule("get", "core", "secrets", "a b"), "get secrets c", False),
    (rule("list", "core", "secrets", "a"), "list secrets in shop", False),
    (Rule(("get",), urls=("/metrics",)), "get /metrics", True),
    (Rule(("get",), urls=("/metrics",)), "get /metrics/slis", False),
    (Rule(("get",), urls=("/metrics/*",)), "get /metrics/slis", True),
    (Rule(("get",), urls=("/metrics/*",)), "get /metrics", False),
    (Rule(("*",), urls=("*",)), "post /anything", True),
]


@pytest.mark.parametrize(("row", "request_", "allowed"), ALLOWS, ids=[f"{row[1]} by {row[0]}" for row in ALLOWS])
def test_a_rule_allows(row: Rule, request_: str, allowed: bool) -> None:
    assert row.allows(wants(request_)) is allowed


UNCOVERED = [
    ([rule("get list", "core", "pods")], [rule("get", "core", "pods")], []),
    ([rule("*", "*", "*")], [rule("get", "apps", "deployments", "web")], []),
    ([rule("get", "core", "pods", "a")], [rule("get", "core", "pods", "a")], []),
    (
        [rule("get", "core", "pods", "a")],
        [rule("get", "core", "pods")],
        ['{APIGroups:[""], Resources:["pods"], Verbs:["get"]}'],
    ),
    ([rule("get", "*", "*/scale")], [rule("get", "apps", "deployments/scale")], []),
    (
        [rule("get", "core", "pods")],
        [rule("get list watch", "core", "pods secrets")],
        [
            '{APIGroups:[""], Resources:["pods"], Verbs:["list" "watch"]}',
            '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list" "watch"]}',
        ],
    ),
    (
        [],
        [rule("get", "core", "secrets", "x"), Rule(("get",), urls=("/metrics",))],
        [
            '{APIGroups:[""], Resources:["secrets"], ResourceNames:["x"], Verbs:["get"]}',
            '{NonResourceURLs:["/metrics"], Verbs:["get"]}',
        ],
    ),
    ([Rule(("get",), urls=("/logs/*",))], [Rule(("get",), urls=("/logs/a",))], []),
    ([rule("*", "*", "*")], [Rule(("get",), urls=("/logs",))], ['{NonResourceURLs:["/logs"], Verbs:["get"]}']),
]


@pytest.mark.parametrize(("owned", "wanted", "missing"), UNCOVERED)
def test_what_rules_lack_is_told_as_upstream_tells_it(
    owned: list[Rule], wanted: list[Rule], missing: list[str]
) -> None:
    assert [str(row) for row in compact(uncovered(owned, wanted))] == missing


REFUSALS = [
    (
        "list pods in default",
        'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default"',
        {"kind": "pods"},
    ),
    (
        "list nodes",
        'nodes is forbidden: User "jane" cannot list resource "nodes" in API group "" at the cluster scope',
        {"kind": "nodes"},
    ),
    (
        "get deployments.apps/scale web in shop",
        'deployments.apps "web" is forbidden: User "jane" cannot get resource "deployments/scale" in API group "apps" '
        'in the namespace "shop"',
        {"name": "web", "group": "apps", "kind": "deployments"},
    ),
    ("get /metrics", 'forbidden: User "jane" cannot get path "/metrics"', {}),
]


@pytest.mark.parametrize(("request_", "message", "details"), REFUSALS)
def test_a_refusal_reads_as_upstream(request_: str, message: str, details: dict[str, str]) -> None:
    error = refusal(wants(request_))
    assert (error.code, error.reason, error.message, error.details) == (403, "Forbidden", message, details)


def test_a_refusal_tells_why_and_hides_markup() -> None:
    wanted = wants("get pods web in a")._replace(user=User("<b>&"))
    assert refusal(wanted, 'RBAC: role "x" not found').message == (
        'pods "web" is forbidden: User "&lt;b&gt;&amp;" cannot get resource "pods" in API group "" in the namespace "a"'
        ': RBAC: role "x" not found'
    )


PATHS = [
    ("GET", "/apis/example.com/v1/namespaces/a/things/b/status", "get things.example.com/status b in a"),
    ("GET", "/api/v1/namespaces/a/things?watch=1", "watch things in a"),
    ("DELETE", "/api/v1/things", "deletecollection things"),
    ("PATCH", "/api/v1/things/x", "patch things x"),
    ("POST", "/api/v1/namespaces/a/finalize", "create namespaces/finalize a in a"),
    ("GET", "/apis/apps/v1", "get /apis/apps/v1"),
    ("GET", "/metrics", "get /metrics"),
    ("HEAD", "/logs/", "head /logs/"),
]


@pytest.mark.parametrize(("method", "url", "meaning"), PATHS)
def test_a_path_alone_tells_what_is_asked(method: str, url: str, meaning: str) -> None:
    path, _, query = url.partition("?")
    body = Body(lambda: None, lambda _: None)
    assert of_path(JANE, Request(method, path, query, Headers([]), body, Peer("", None))) == wants(meaning)


def _bind(policy: Policy, binding: str, role: str, namespace: str = "", **subject: str) -> None:
    kind = "Role" if role.islower() and namespace else "ClusterRole"
    metadata = {"name": binding, **({"namespace": namespace} if namespace else {})}
    policy.put_binding({"metadata": metadata, "roleRef": {"kind": kind, "name": role}, "subjects": [subject]})


def test_bindings_give_roles_to_users_groups_and_accounts() -> None:
    policy = Policy()
    reader = {"rules": [rule("get", "core", "pods").to_api()]}
    policy.put_role({"metadata": {"name": "Reader"}, **reader})
    policy.put_role({"metadata": {"name": "local", "namespace": "a"}, **reader})
    get = wants("get pods x in a")
    assert not policy.decide(get).allowed
    _bind(policy, "one", "Reader", kind="User", name="jane")
    assert (
        policy.decide(get).reason == 'RBAC: allowed by ClusterRoleBinding "one" of ClusterRole "Reader" to User "jane"'
    )
    policy.drop_binding("", "one")
    assert not policy.decide(get).allowed, "what has been concluded is forgotten with what it came from"
    _bind(policy, "two", "local", "a", kind="Group", name="dev")
    assert policy.decide(get).reason == 'RBAC: allowed by RoleBinding "two/a" of Role "local" to Group "dev"'
    assert not policy.decide(get._replace(namespace="b")).allowed
    robot = get._replace(user=User("system:serviceaccount:a:robot"))
    _bind(policy, "three", "Reader", "a", kind="ServiceAccount", name="robot")
    assert policy.decide(robot).reason == (
        'RBAC: allowed by RoleBinding "three/a" of ClusterRole "Reader" to ServiceAccount "robot/a"'
    )


def test_a_binding_to_no_role_is_told_with_the_refusal() -> None:
    policy = Policy()
    _bind(policy, "one", "Nothing", kind="User", name="jane")
    _bind(policy, "two", "nothing", "a", kind="User", name="jane")
    assert policy.decide(wants("get pods x in a")).reason == (
        'RBAC: [clusterrole.rbac.authorization.k8s.io "Nothing" not found,'
        ' role.rbac.authorization.k8s.io "nothing" not found]'
    )


def test_names_count_where_rules_name_some() -> None:
    policy = Policy()
    policy.put_role({"metadata": {"name": "R"}, "rules": [rule("get", "core", "secrets", "a").to_api()]})
    _bind(policy, "one", "R", kind="User", name="jane")
    assert [policy.decide(wants(f"get secrets {name} in x")).allowed for name in "aba"] == [True, False, True]
