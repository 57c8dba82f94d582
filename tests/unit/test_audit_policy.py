"""Audit policies as tables: which rule a request falls under, and what makes a policy unsound."""

import pytest
from test_authorization_rules import wants

from knet.apiserver.audit.policy import DEFAULT, Telling, parse
from knet.apiserver.user import User

HEAD = "apiVersion: audit.k8s.io/v1\nkind: Policy\n"
#: after https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/#audit-policy
POLICY = parse(
    HEAD
    + """
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- {level: None, users: ["system:kube-proxy"], verbs: [watch], resources: [{group: "", resources: [services]}]}
- {level: None, userGroups: ["system:authenticated"], nonResourceURLs: ["/api*", "/version"]}
- {level: Request, resources: [{group: "", resources: [configmaps]}], namespaces: [kube-system]}
- {level: Request, resources: [{group: "", resources: [configmaps], resourceNames: [one]}], omitManagedFields: false}
- {level: Metadata, resources: [{group: "", resources: [secrets, configmaps]}]}
- {level: RequestResponse, resources: [{group: "", resources: ["pods/*"]}], omitStages: [ResponseStarted]}
- {level: Request, resources: [{group: "*", resources: ["*/scale"]}]}
- {level: RequestResponse, resources: [{group: ""}, {group: apps}]}
- {level: None, namespaces: [""]}
"""
)
PROXY = User("system:kube-proxy", ("system:authenticated",))
RECEIVED = frozenset(("RequestReceived",))


@pytest.mark.parametrize(
    ("question", "user", "telling"),
    [
        ("watch services", "system:kube-proxy", Telling("None")),
        ("list services", "system:kube-proxy", Telling("RequestResponse", RECEIVED, True)),
        ("get /version", "jane", Telling("None", RECEIVED, True)),
        ("get /apis/apps/v1", "jane", Telling("None", RECEIVED, True)),
        ("get /healthz", "jane", Telling("None")),
        ("update configmaps x in kube-system", "jane", Telling("Request", RECEIVED, True)),
        ("update configmaps one in shop", "jane", Telling("Request", RECEIVED, False)),
        ("update configmaps two in shop", "jane", Telling("Metadata", RECEIVED, True)),
        (
            "create pods/exec web in shop",
            "jane",
            Telling("RequestResponse", RECEIVED | {"ResponseStarted"}, True),
        ),
        ("update deployments.apps/scale web in shop", "jane", Telling("Request", RECEIVED, True)),
        ("update deployments.apps web in shop", "jane", Telling("RequestResponse", RECEIVED, True)),
        ("create jobs.batch in shop", "jane", Telling("None")),
        ("list clusterroles.rbac.authorization.k8s.io", "jane", Telling("None")),
    ],
)
def test_the_first_rule_that_matches_counts(question: str, user: str, telling: Telling) -> None:
    found = POLICY.telling(wants(question)._replace(user=User(user, ("system:authenticated",))))
    assert found.level == telling.level
    if telling.level != "None":
        assert found == telling


def test_without_a_policy_everything_is_told_once() -> None:
    for question in ("get /healthz", "create pods in shop", "list nodes"):
        assert DEFAULT.telling(wants(question)) == Telling("Metadata", RECEIVED)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "Expected `object`, got `null`"),
        ("kind: Policy\nrules: [{level: None}]", "missing required field `apiVersion`"),
        (HEAD + "rules: []", "loaded illegal policy with 0 rules"),
        (HEAD + "rules: [{level: All}]", "Invalid enum value 'All' - at `$.rules[0].level`"),
        (HEAD + "rules: [{}]", "missing required field `level` - at `$.rules[0]`"),
        (HEAD + "rules: [{level: None, user: [a]}]", "unknown field `user` - at `$.rules[0]`"),
        (HEAD + "rules: [{level: None, omitStages: [Never]}]", "Invalid enum value 'Never'"),
        (HEAD + "rules: [{level: None, nonResourceURLs: [api]}]", "must begin with a '/'"),
        (HEAD + "rules: [{level: None, nonResourceURLs: ['/a*b']}]", "must be the final character"),
        (HEAD + "rules: [{level: None}, {level: None, nonResourceURLs: [/a], namespaces: [b]}]", "rules[1].nonRes"),
        (HEAD + "rules: [{level: None, resources: [{resourceNames: [a]}]}]", "requires at least one resource"),
        (HEAD + "rules: [{level: None, resources: [{group: apps/v1}]}]", "a group has no version"),
        ("{", "while parsing a flow"),
    ],
)
def test_what_is_wrong_with_a_policy_is_told(text: str, complaint: str) -> None:
    with pytest.raises(ValueError) as raised:
        parse(text)
    assert complaint in str(raised.value)
    assert "\n" not in str(raised.value)
