"""Who may do what, at a running server: identities, roles as they are stored, impersonation, reviews, kubelets."""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from apiserver_harness import MERGE, Api, Server, pod, running
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from knet.api.names import ACCOUNT_NAME_ANNOTATION
from knet.api.resources import (
    CERTIFICATESIGNINGREQUESTS,
    CLUSTERROLEBINDINGS,
    CLUSTERROLES,
    CONFIGMAPS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    ROLEBINDINGS,
    ROLES,
    SECRETS,
    SERVICEACCOUNTS,
)

GROUP = "rbac.authorization.k8s.io"
JANE = {"Impersonate_User": "jane"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("authorization")) as found:
        yield found


def binding(name: str, role: str, kind: str = "ClusterRole", user: str = "jane") -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": role},
        "subjects": [{"kind": "User", "name": user}],
    }


def role(name: str, *rules: tuple[str, str, str]) -> dict[str, Any]:
    """Rules are (verbs, group, resources)."""
    rows = [{"verbs": verbs.split(), "apiGroups": [group], "resources": what.split()} for verbs, group, what in rules]
    return {"metadata": {"name": name}, "rules": rows}


def test_a_binding_is_in_force_once_it_is_acknowledged(server: Server) -> None:
    async def test(api: Api) -> None:
        for _ in range(20):
            answer = await api("GET", PODS.path("default"), **JANE)
            assert answer.code == 403 and answer.message == (
                'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default"'
            )
            await api("POST", ROLES.path("default"), role("reader", ("get list", "", "pods")))
            await api("POST", ROLEBINDINGS.path("default"), binding("reader", "reader", "Role"))
            assert (await api("GET", PODS.path("default"), **JANE)).code == 200
            assert (await api("GET", PODS.path(), **JANE)).code == 403
            await api("PATCH", ROLES.path("default", "reader"), {"rules": []}, MERGE)
            assert (await api("GET", PODS.path("default"), **JANE)).code == 403
            await api("DELETE", ROLEBINDINGS.path("default", "reader"))
            await api("DELETE", ROLES.path("default", "reader"))

    server.run(test)


def test_refusals_come_before_anything_is_looked_for(server: Server) -> None:
    async def test(api: Api) -> None:
        for path, message in (
            ("/metrics", 'forbidden: User "jane" cannot get path "/metrics"'),
            (
                "/apis/example.com/v1/namespaces/a/things/b",
                'things.example.com "b" is forbidden: User "jane" cannot get resource "things" in API group'
                ' "example.com" in the namespace "a"',
            ),
            (
                "/api/v1/namespaces/shop",
                'namespaces "shop" is forbidden: User "jane" cannot get resource "namespaces" in API group ""'
                ' in the namespace "shop"',
            ),
            (
                "/api/v1/namespaces/a/pods?watch=1",
                'pods is forbidden: User "jane" cannot watch resource "pods" in API group "" in the namespace "a"',
            ),
            (
                "/api/v1/pods?fieldSelector=metadata.name%3Dx",
                'pods "x" is forbidden: User "jane" cannot list resource "pods" in API group "" at the cluster scope',
            ),
        ):
            answer = await api("GET", path, **JANE)
            assert (answer.code, answer.message) == (403, message)
        assert (await api("GET", "/apis/example.com/v1/things")).code == 404

    server.run(test)


def test_nobody_grants_what_they_have_not_got(server: Server) -> None:
    async def test(api: Api) -> None:
        await api("POST", NAMESPACES.path(), {"metadata": {"name": "grants"}})
        await api(
            "POST",
            ROLES.path("grants"),
            role("granter", ("create get patch", GROUP, "roles rolebindings"), ("get list", "", "pods")),
        )
        await api("POST", ROLEBINDINGS.path("grants"), binding("granter", "granter", "Role"))
        wanted = role("wide", ("get list watch", "", "pods secrets"))
        answer = await api("POST", ROLES.path("grants"), wanted, **JANE)
        assert (answer.code, answer.message) == (
            403,
            'roles.rbac.authorization.k8s.io "wide" is forbidden: user "jane" (groups=["system:authenticated"]) is'
            " attempting to grant RBAC permissions not currently held:\n"
            '{APIGroups:[""], Resources:["pods"], Verbs:["watch"]}\n'
            '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list" "watch"]}',
        )
        narrow = role("narrow", ("get", "", "pods"))
        assert (await api("POST", ROLES.path("grants"), narrow, **JANE)).code == 201
        answer = await api("PATCH", ROLES.path("grants", "narrow"), {"rules": wanted["rules"]}, MERGE, **JANE)
        assert answer.code == 403
        bound = binding("x", "view")
        answer = await api("POST", ROLEBINDINGS.path("grants"), binding("x", "cluster-admin"), **JANE)
        assert answer.code == 403 and "attempting to grant RBAC permissions not currently held" in answer.message
        answer = await api("POST", ROLEBINDINGS.path("grants"), binding("x", "nothing"), **JANE)
        assert (answer.code, answer.message) == (404, 'clusterrole.rbac.authorization.k8s.io "nothing" not found')
        # bind and escalate are the ways around it
        for verb, plural in (("bind", "clusterroles"), ("escalate", "roles")):
            await api("POST", ROLES.path("grants"), role(verb, (verb, GROUP, plural)))
            await api("POST", ROLEBINDINGS.path("grants"), binding(verb, verb, "Role"))
        assert (await api("POST", ROLEBINDINGS.path("grants"), bound, **JANE)).code == 201
        answer = await api("PATCH", ROLES.path("grants", "narrow"), {"rules": wanted["rules"]}, MERGE, **JANE)
        assert answer.code == 200

    server.run(test)


def test_roles_and_bindings_are_validated(server: Server) -> None:
    async def test(api: Api) -> None:
        answer = await api("POST", ROLES.path("default"), {"metadata": {"name": "a"}, "rules": [{"verbs": []}]})
        assert (answer.code, answer.message) == (
            422,
            'Role.rbac.authorization.k8s.io "a" is invalid: [rules[0].verbs: Required value: verbs must contain at'
            " least one value, rules[0].apiGroups: Required value: resource rules must supply at least one api group,"
            " rules[0].resources: Required value: resource rules must supply at least one resource]",
        )
        assert (await api("POST", ROLES.path("default"), role("system:a/b"))).code == 422
        assert (await api("POST", CLUSTERROLEBINDINGS.path(), binding("fixed", "view"))).code == 201
        patch = {"roleRef": {"name": "edit"}}
        answer = await api("PATCH", CLUSTERROLEBINDINGS.path("", "fixed"), patch, MERGE)
        assert (answer.code, answer.message) == (
            422,
            'ClusterRoleBinding.rbac.authorization.k8s.io "fixed" is invalid: roleRef: Invalid value: rbac.RoleRef'
            '{APIGroup:"rbac.authorization.k8s.io", Kind:"ClusterRole", Name:"edit"}: cannot change roleRef',
        )
        await api("DELETE", CLUSTERROLEBINDINGS.path("", "fixed"))
        answer = await api("POST", CLUSTERROLEBINDINGS.path(), binding("x", "view", "Role"))
        assert answer.code == 422 and 'roleRef.kind: Unsupported value: "Role"' in answer.message

    server.run(test)


def test_a_certificate_is_told_by_its_fingerprint(server: Server) -> None:
    certificate = x509.load_pem_x509_certificate((server.pki / "admin.crt").read_bytes())

    async def test(api: Api) -> None:
        answer = await api("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
        assert answer.body["status"]["userInfo"] == {
            "username": "kubernetes-admin",
            "groups": ["system:masters", "system:authenticated"],
            "extra": {
                "authentication.kubernetes.io/credential-id": [
                    f"X509SHA256={certificate.fingerprint(hashes.SHA256()).hex()}"
                ]
            },
        }

    server.run(test)


def test_requests_for_certificates_are_decided_by_who_may(server: Server) -> None:
    path = CERTIFICATESIGNINGREQUESTS.path()

    def asking(organization: str) -> dict[str, Any]:
        spec = {
            "request": base64.b64encode(signing_request(organization)).decode(),
            "signerName": "kubernetes.io/kube-apiserver-client",
            "usages": ["client auth"],
            "username": "somebody else",
        }
        return {"metadata": {"name": organization}, "spec": spec}

    async def test(api: Api) -> None:
        answer = await api("POST", path, asking("system:masters"))
        assert answer.code == 403
        assert answer.message == (
            'certificatesigningrequests.certificates.k8s.io "system:masters" is forbidden: use of'
            " kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"
        )
        made = await api("POST", path, asking("dev"))
        assert made.body["spec"]["username"] == "kubernetes-admin"
        assert made.body["spec"]["groups"] == ["system:masters", "system:authenticated"]
        changed = await api("PATCH", f"{path}/dev", {"spec": {"usages": ["server auth"]}}, MERGE)
        assert changed.body["spec"] == made.body["spec"]
        everything = ("update patch", "certificates.k8s.io", RESOURCES)
        await api("POST", CLUSTERROLES.path(), role("requests", everything))
        await api("POST", CLUSTERROLEBINDINGS.path(), binding("requests", "requests"))
        approved = {"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "x"}]}}
        signed = {"status": {"certificate": base64.b64encode(CERTIFICATE).decode()}}
        for part, body, verb in (("approval", approved, "approve"), ("status", signed, "sign")):
            answer = await api("PATCH", f"{path}/dev/{part}", body, MERGE, **JANE)
            assert answer.code == 403
            assert answer.message == (
                f'certificatesigningrequests.certificates.k8s.io "dev" is forbidden: user not permitted to {verb}'
                ' requests with signerName "kubernetes.io/kube-apiserver-client"'
            )
        answer = await api("PATCH", f"{path}/dev/status", {"metadata": {"labels": {"a": "b"}}}, MERGE, **JANE)
        assert answer.code == 200, "which is no signing"
        signers = role("signers", ("approve sign", "certificates.k8s.io", "signers"))
        signers["rules"][0]["resourceNames"] = ["kubernetes.io/*"]
        await api("POST", CLUSTERROLES.path(), signers)
        await api("POST", CLUSTERROLEBINDINGS.path(), binding("signers", "signers"))
        for part, body in (("approval", approved), ("status", signed)):
            assert (await api("PATCH", f"{path}/dev/{part}", body, MERGE, **JANE)).code == 200

    CERTIFICATE = (server.pki / "admin.crt").read_bytes()
    RESOURCES = "certificatesigningrequests certificatesigningrequests/approval certificatesigningrequests/status"
    server.run(test)


def signing_request(organization: str) -> bytes:
    """Of jane in a group, PEM."""
    attributes = ((NameOID.ORGANIZATION_NAME, organization), (NameOID.COMMON_NAME, "jane"))
    subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)


def test_acting_as_somebody_has_to_be_allowed(server: Server) -> None:
    whoami = "/apis/authentication.k8s.io/v1/selfsubjectreviews"

    async def test(api: Api) -> None:
        async def info(**headers: str) -> dict[str, Any]:
            answer = await api("POST", whoami, {}, **headers)
            assert answer.code == 201, answer.body
            return dict(answer.body["status"]["userInfo"])

        assert await info(**JANE) == {"username": "jane", "groups": ["system:authenticated"]}
        assert await info(
            **JANE, Impersonate_Group="dev", Impersonate_Uid="7", **{"Impersonate-Extra-Scopes": "a"}
        ) == {
            "username": "jane",
            "uid": "7",
            "groups": ["dev", "system:authenticated"],
            "extra": {"scopes": ["a"]},
        }
        account = await info(Impersonate_User="system:serviceaccount:default:robot")
        assert account["groups"] == [
            "system:serviceaccounts",
            "system:serviceaccounts:default",
            "system:authenticated",
        ]
        answer = await api("POST", whoami, {}, Impersonate_Group="dev")
        assert answer.code == 400 and "without impersonating a user" in answer.message

    server.run(test)

    async def refused(api: Api) -> None:
        answer = await api("GET", "/api", **JANE)
        assert (answer.code, answer.message) == (
            403,
            'users "jane" is forbidden: User "system:node:n1" cannot impersonate resource "users" in API group ""'
            " at the cluster scope",
        )
        answer = await api("GET", "/api", Impersonate_User="system:serviceaccount:a:b")
        assert answer.message.startswith('serviceaccounts "b" is forbidden: User "system:node:n1" cannot impersonate')

    server.run(refused, name="node")


def test_access_reviews_tell_whether_and_why(server: Server) -> None:
    base = "/apis/authorization.k8s.io/v1/"

    async def test(api: Api) -> None:
        await api("POST", NAMESPACES.path(), {"metadata": {"name": "asked"}})
        await api("POST", ROLES.path("asked"), role("reader", ("get", "", "pods/log")))
        await api("POST", ROLEBINDINGS.path("asked"), binding("reader", "reader", "Role", "joe"))
        log = {"verb": "get", "resource": "pods", "subresource": "log", "namespace": "asked"}
        answer = await api("POST", base + "subjectaccessreviews", {"spec": {"user": "joe", "resourceAttributes": log}})
        assert (answer.code, answer.body["status"]) == (
            201,
            {
                "allowed": True,
                "reason": 'RBAC: allowed by RoleBinding "reader/asked" of Role "reader" to User "joe"',
            },
        )
        local = base + "namespaces/asked/localsubjectaccessreviews"
        answer = await api("POST", local, {"spec": {"user": "joe", "resourceAttributes": log}})
        assert answer.body["status"]["allowed"]
        answer = await api("POST", local, {"spec": {"user": "joe", "resourceAttributes": {**log, "namespace": "x"}}})
        assert answer.code == 422 and "must match metadata.namespace" in answer.message
        own = {"spec": {"nonResourceAttributes": {"verb": "get", "path": "/metrics"}}}
        answer = await api("POST", base + "selfsubjectaccessreviews", own, **JANE)
        assert answer.body["status"] == {"allowed": False}
        answer = await api("POST", base + "selfsubjectaccessreviews", {"spec": {}})
        assert answer.code == 422 and "exactly one of nonResourceAttributes or resourceAttributes" in answer.message
        answer = await api("POST", base + "subjectaccessreviews", {"spec": {"resourceAttributes": log}})
        assert answer.code == 422 and "at least one of user or group must be specified" in answer.message
        for method, path in (("GET", "subjectaccessreviews"), ("DELETE", "selfsubjectaccessreviews/x")):
            assert (await api(method, base + path)).code == 405
        rules = await api(
            "POST", base + "selfsubjectrulesreviews", {"spec": {"namespace": "asked"}}, Impersonate_User="joe"
        )
        assert {"verbs": ["get"], "apiGroups": [""], "resources": ["pods/log"]} in rules.body["status"]["resourceRules"]
        assert rules.body["status"]["incomplete"] is False

    server.run(test)


def _authorization(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_token_reviews_know_audiences_and_bonds(server: Server) -> None:
    async def test(api: Api) -> None:
        async def review(token: str, *audiences: str) -> dict[str, Any]:
            spec = {"token": token, "audiences": list(audiences)}
            answer = await api("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": spec})
            assert answer.code == 201
            return dict(answer.body["status"])

        request = SERVICEACCOUNTS.path("default", "default", "token")
        await api("POST", SECRETS.path("default"), {"metadata": {"name": "bond"}})
        bound = {"apiVersion": "v1", "kind": "Secret", "name": "bond"}
        spec = {"audiences": ["vault"], "expirationSeconds": 600, "boundObjectRef": bound}
        token = (await api("POST", request, {"spec": spec})).body["status"]["token"]
        status = await review(token, "vault", "other")
        assert status["authenticated"] and status["audiences"] == ["vault"]
        assert status["user"]["username"] == "system:serviceaccount:default:default"
        status = await review(token)
        assert "authenticated" not in status and "token audiences" in status["error"]
        await api("DELETE", SECRETS.path("default", "bond"))
        assert "has been invalidated" in (await review(token, "vault"))["error"]
        assert (await review("a.b.c"))["error"] == "invalid bearer token"
        for reference, code, message in (
            ({"apiVersion": "v1", "kind": "ConfigMap", "name": "x"}, 400, "/v1, Kind=ConfigMap"),
            ({"apiVersion": "v1", "kind": "Node", "name": "gone"}, 404, 'nodes "gone" not found'),
        ):
            answer = await api("POST", request, {"spec": {"boundObjectRef": reference}})
            assert answer.code == code and message in answer.message

    server.run(test)


@pytest.mark.parametrize(
    ("protocols", "code"),
    [
        ("v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.{}", 403),
        ("base64url.bearer.authorization.k8s.io.{}", 401),
        ("v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.!", 401),
        ("v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.AAAA", 401),
        ("v5.channel.k8s.io", 403),
    ],
)
def test_browsers_have_their_token_among_the_protocols(server: Server, protocols: str, code: int) -> None:
    tokens = []

    async def ask(api: Api) -> None:
        answer = await api("POST", SERVICEACCOUNTS.path("default", "default", "token"), {"spec": {}})
        tokens.append(answer.body["status"]["token"])

    async def test(api: Api) -> None:
        offered = protocols.format(base64.urlsafe_b64encode(tokens[0].encode()).decode().rstrip("="))
        headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Protocol": offered}
        answer = await api("GET", PODS.path("default", "web", "exec"), **headers)
        assert answer.code == code
        if code == 403:
            who = "default:default" if "{}" in protocols else "system:anonymous"
            assert f'{who}" cannot get resource "pods/exec"' in answer.message

    server.run(ask)
    server.run(test, name="")


def test_a_token_of_a_pod_tells_its_node(server: Server) -> None:
    async def test(api: Api) -> None:
        await api("POST", NODES.path(), {"metadata": {"name": "n7"}})
        body = pod("told")
        body["spec"]["nodeName"] = "n7"
        uid = (await api("POST", PODS.path("default"), body)).body["metadata"]["uid"]
        reference = {"apiVersion": "v1", "kind": "Pod", "name": "told", "uid": uid}
        spec = {"boundObjectRef": reference, "expirationSeconds": 3607}
        answer = await api("POST", SERVICEACCOUNTS.path("default", "default", "token"), {"spec": spec})
        status = answer.body["status"]
        expires = datetime.fromisoformat(status["expirationTimestamp"]) - datetime.now(UTC)
        assert timedelta(minutes=59) < expires < timedelta(minutes=61)
        extra = await _who(api, status["token"])
        assert extra["authentication.kubernetes.io/node-name"] == ["n7"]
        assert extra["authentication.kubernetes.io/pod-uid"] == [uid]

    async def _who(api: Api, token: str) -> dict[str, Any]:
        answer = await api("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token}})
        return dict(answer.body["status"]["user"]["extra"])

    server.run(test)


def _bootstrap_secret(**data: str) -> dict[str, Any]:
    given = {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-authentication": "true",
        "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
        **data,
    }
    return {
        "metadata": {"name": "bootstrap-token-abcdef"},
        "type": "bootstrap.kubernetes.io/token",
        "data": {key.replace("_", "-"): base64.b64encode(value.encode()).decode() for key, value in given.items()},
    }


@pytest.mark.parametrize(
    ("data", "token", "good"),
    [
        ({}, "abcdef.0123456789abcdef", True),
        ({}, "abcdef.0123456789abcdee", False),
        ({}, "abcdeg.0123456789abcdef", False),
        ({"expiration": "2020-01-01T00:00:00Z"}, "abcdef.0123456789abcdef", False),
        ({"expiration": "2999-01-01T00:00:00Z"}, "abcdef.0123456789abcdef", True),
        ({"expiration": "soon"}, "abcdef.0123456789abcdef", False),
        ({"usage_bootstrap_authentication": "false"}, "abcdef.0123456789abcdef", False),
        ({"auth_extra_groups": "system:masters"}, "abcdef.0123456789abcdef", False),
    ],
)
def test_bootstrap_tokens(server: Server, data: dict[str, str], token: str, good: bool) -> None:
    path = SECRETS.path("kube-system")

    async def create(api: Api) -> None:
        assert (
            await api("POST", path, _bootstrap_secret(**{k.replace("-", "_"): v for k, v in data.items()}))
        ).code == 201

    async def use(api: Api) -> None:
        answer = await api("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, **_authorization(token))
        assert answer.code == (201 if good else 401)
        if good:
            assert answer.body["status"]["userInfo"] == {
                "username": "system:bootstrap:abcdef",
                "groups": [
                    "system:bootstrappers",
                    "system:bootstrappers:kubeadm:default-node-token",
                    "system:authenticated",
                ],
            }

    async def drop(api: Api) -> None:
        await api("DELETE", f"{path}/bootstrap-token-abcdef")

    server.run(create)
    server.run(use, name="")
    server.run(drop)


def test_a_kubelet_reads_what_its_pods_need(server: Server) -> None:
    secret = SECRETS.path("default", "needed")

    async def before(api: Api) -> None:
        answer = await api("GET", secret)
        assert (answer.code, answer.message) == (
            403,
            'secrets "needed" is forbidden: User "system:node:n1" cannot get resource "secrets" in API group "" in the'
            " namespace \"default\": no relationship found between node 'n1' and this object",
        )

    async def bind(api: Api) -> None:
        await api("POST", SECRETS.path("default"), {"metadata": {"name": "needed"}})
        body = pod("reader")
        body["spec"]["nodeName"] = "n1"
        body["spec"]["volumes"] = [{"name": "s", "secret": {"secretName": "needed"}}]
        assert (await api("POST", PODS.path("default"), body)).code == 201

    async def after(api: Api) -> None:
        assert (await api("GET", secret)).code == 200
        assert (await api("GET", CONFIGMAPS.path("default", "kube-root-ca.crt"))).code == 404
        assert (await api("GET", SECRETS.path("default"))).code == 403
        assert (await api("GET", PODS.path() + "?fieldSelector=spec.nodeName%3Dn1")).code == 200
        assert (await api("GET", PODS.path())).code == 403

    server.run(before, name="node")
    server.run(bind)
    server.run(after, name="node")


def test_a_kubelet_changes_what_is_its_own(server: Server) -> None:
    node = {"metadata": {"name": "n1", "labels": {"kubernetes.io/hostname": "n1", "rack": "a"}}}

    async def others(api: Api) -> None:
        await api("POST", NODES.path(), {"metadata": {"name": "n2"}})
        for name, where in (("mine", "n1"), ("theirs", "n2")):
            body = pod(name)
            body["spec"]["nodeName"] = where
            assert (await api("POST", PODS.path("default"), body)).code == 201

    async def kubelet(api: Api) -> None:
        async def refused(method: str, path: str, body: Any, why: str, kind: str = "application/json") -> None:
            answer = await api(method, path, body, kind)
            assert answer.code == 403 and answer.message.endswith(why), answer.message

        labelled = {"metadata": {"name": "n1", "labels": {"node-role.kubernetes.io/control-plane": ""}}}
        await refused(
            "POST",
            NODES.path(),
            labelled,
            'node "n1" is not allowed to set the following labels: node-role.kubernetes.io/control-plane',
        )
        await refused(
            "POST", NODES.path(), {"metadata": {"name": "n3"}}, 'node "n1" is not allowed to modify node "n3"'
        )
        assert (await api("POST", NODES.path(), node)).code == 201
        own = NODES.path("", "n1")
        assert (await api("PATCH", own, {"metadata": {"labels": {"rack": "b"}}}, MERGE)).code == 200
        zone = {"metadata": {"labels": {"node-restriction.kubernetes.io/pci": "true"}}}
        await refused("PATCH", own, zone, "is not allowed to modify labels: node-restriction.kubernetes.io/pci", MERGE)
        taints = {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}
        await refused("PATCH", own, taints, 'node "n1" is not allowed to modify taints', MERGE)
        await refused(
            "PATCH",
            NODES.path("", "n2", "status"),
            {"status": {}},
            'node "n1" is not allowed to modify node "n2"',
            MERGE,
        )
        status = {"status": {"phase": "Running"}}
        assert (await api("PATCH", PODS.path("default", "mine", "status"), status, MERGE)).code == 200
        await refused(
            "PATCH",
            PODS.path("default", "theirs", "status"),
            status,
            'node "n1" can only update pod status for pods with spec.nodeName set to itself',
            MERGE,
        )
        await refused(
            "DELETE",
            PODS.path("default", "theirs"),
            None,
            'node "n1" can only delete pods with spec.nodeName set to itself',
        )
        await refused(
            "POST",
            PODS.path("default"),
            pod("made"),
            'pod does not have "kubernetes.io/config.mirror" annotation, node "n1" can only create mirror pods',
        )
        lease = {"metadata": {"name": "n2"}, "spec": {}}
        await refused(
            "POST",
            LEASES.path("kube-node-lease"),
            lease,
            "can only access node lease with the same name as the requesting node",
        )
        request = SERVICEACCOUNTS.path("default", "default", "token")
        await refused("POST", request, {"spec": {}}, "node requested token not bound to a pod")
        bound = {"apiVersion": "v1", "kind": "Pod", "name": "theirs"}
        await refused(
            "POST",
            request,
            {"spec": {"boundObjectRef": bound}},
            "node requested token with a pod binding without a uid",
        )
        uid = (await api("GET", own)).body["metadata"]["uid"]
        owner = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": uid, "controller": True}
        mirror = pod("mirror-n1")
        mirror["spec"]["nodeName"] = "n1"
        annotations = {"kubernetes.io/config.mirror": "x"}
        mirror["metadata"] |= {"annotations": annotations, "ownerReferences": [owner]}
        assert (await api("POST", PODS.path("default"), mirror)).code == 201

    server.run(others)
    server.run(kubelet, name="node")


def test_default_roles_are_made_good_again_at_the_next_start(tmp_path: Path) -> None:
    proxier = CLUSTERROLES.path("", "system:node-proxier")
    extra = {"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"]}

    async def damage(api: Api) -> None:
        await api("PATCH", proxier, {"rules": [extra]}, MERGE)
        await api("DELETE", CLUSTERROLEBINDINGS.path("", "system:discovery"))
        protected = {"metadata": {"annotations": {f"{GROUP.replace('k8s.io', 'kubernetes.io')}/autoupdate": "false"}}}
        await api("PATCH", CLUSTERROLES.path("", "system:kube-dns"), {**protected, "rules": []}, MERGE)

    async def repaired(api: Api) -> None:
        rules = (await api("GET", proxier)).body["rules"]
        assert rules[0] == extra and len(rules) > 4
        assert (await api("GET", "/api", **JANE)).code == 200
        assert (await api("GET", CLUSTERROLES.path("", "system:kube-dns"))).body["rules"] == []

    with running(tmp_path) as server:
        server.run(damage)
    with running(tmp_path) as server:
        server.run(repaired)


def test_a_secret_for_a_token_names_its_account(server: Server) -> None:
    async def test(api: Api) -> None:
        body = {"metadata": {"name": "t"}, "type": "kubernetes.io/service-account-token"}
        answer = await api("POST", SECRETS.path("default"), body)
        assert (
            answer.code == 422 and f"metadata.annotations[{ACCOUNT_NAME_ANNOTATION}]: Required value" in answer.message
        )

    server.run(test)
