"""kubectl and custom resources: what people do with them, and what it prints."""

import json
from collections.abc import Iterator

import pytest
from apiserver_harness import running
from custom_harness import GROUP, cron_tab, definition
from kubectl_harness import Kubectl, needs_kubectl

pytestmark = needs_kubectl

NAME = f"crontabs.{GROUP}"


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    with running(tmp_path_factory.mktemp("kubectl")) as server:
        found = Kubectl(server)
        value = definition("crontabs", "CronTab", shortNames=["ct"], categories=["all", "jobs"])
        spec = value["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        spec["description"] = "What is to be run, and when."
        spec["properties"]["policy"] = {"type": "string", "enum": ["Allow", "Forbid"], "description": "Whether to."}
        assert found("apply", "-f", "-", stdin=json.dumps(value)) == (
            f"customresourcedefinition.apiextensions.k8s.io/{NAME} created\n"
        )
        assert found("wait", f"crd/{NAME}", "--for=condition=Established", "--timeout=5s") == (
            f"customresourcedefinition.apiextensions.k8s.io/{NAME} condition met\n"
        )
        yield found


def manifest(name: str, **spec: object) -> str:
    return json.dumps(cron_tab("CronTab", name, **spec))


def test_apply_get_and_delete(kubectl: Kubectl) -> None:
    one = f"crontab.{GROUP}/life"
    assert kubectl("apply", "-f", "-", stdin=manifest("life")) == f"{one} created\n"
    assert kubectl("apply", "-f", "-", stdin=manifest("life")) == f"{one} unchanged\n"
    assert kubectl("apply", "-f", "-", stdin=manifest("life", replicas=2)) == f"{one} configured\n"
    assert kubectl("get", "ct", "life").splitlines()[0].split() == ["NAME", "SPEC", "REPLICAS", "AGE"]
    rows = kubectl("get", "crontabs", "life", "-o", "wide").splitlines()
    assert rows[0].split() == ["NAME", "SPEC", "REPLICAS", "IMAGE", "AGE"]
    assert "* * * * */5" in rows[1] and rows[1].split()[6:8] == ["2", "busybox"]
    assert one in kubectl("get", "all") and one in kubectl("get", "jobs,ct", "-o", "name")
    assert kubectl("get", "ct", "life", "-o", "jsonpath={.spec.replicas}") == "2"
    assert kubectl("get", "ct", "--field-selector", "spec.image=busybox", "-o", "name") == f"{one}\n"
    assert kubectl("delete", "ct", "life") == f'crontab.{GROUP} "life" deleted\n'
    assert kubectl("get", "ct") == ""


def test_patches_of_every_type(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=manifest("patched"))
    done = f"crontab.{GROUP}/patched patched"
    merge = kubectl("patch", "ct", "patched", "--type=merge", "-p", '{"spec":{"replicas":3}}')
    assert merge == done + "\n"
    operations = '[{"op":"test","path":"/spec/replicas","value":3},{"op":"replace","path":"/spec/image","value":"x"}]'
    assert kubectl("patch", "ct", "patched", "--type=json", "-p", operations) == done + "\n"
    again = kubectl("patch", "ct", "patched", "--type=merge", "-p", '{"spec":{"replicas":3}}')
    assert again == done + " (no change)\n"
    refused = kubectl.refused("patch", "ct", "patched", "-p", '{"spec":{"replicas":4}}')
    assert "the body of the request was in an unknown format" in refused
    status = '{"status":{"phase":"Good"}}'
    kubectl("patch", "ct", "patched", "--subresource=status", "--type=merge", "-p", status)
    assert kubectl("wait", "ct/patched", "--for=jsonpath={.status.phase}=Good", "--timeout=5s") == (
        f"crontab.{GROUP}/patched condition met\n"
    )
    kubectl("label", "ct", "patched", "tier=back")
    kubectl("annotate", "ct", "patched", "why=test")
    assert kubectl("get", "ct", "-l", "tier=back", "-o", "name") == f"crontab.{GROUP}/patched\n"


def test_server_side_apply_and_diff(kubectl: Kubectl) -> None:
    one = f"crontab.{GROUP}/applied"
    apply = ("apply", "--server-side", "-f", "-", "--field-manager")
    assert kubectl(*apply, "a", stdin=manifest("applied", image="a")) == f"{one} serverside-applied\n"
    conflict = kubectl.refused(*apply, "b", stdin=manifest("applied", image="b"))
    assert 'Apply failed with 1 conflict: conflict with "a": .spec.image' in conflict
    kubectl(*apply, "b", "--force-conflicts", stdin=manifest("applied", image="b"))
    shown = kubectl("get", "ct", "applied", "-o", "json", "--show-managed-fields")
    managers = {row["manager"]: row["fieldsV1"] for row in json.loads(shown)["metadata"]["managedFields"]}
    assert managers["b"]["f:spec"] == {"f:cronSpec": {}, "f:image": {}}
    assert managers["a"]["f:spec"] == {"f:cronSpec": {}}
    done = kubectl.run("diff", "-f", "-", stdin=manifest("applied", image="c"))
    assert done.returncode == 1 and "-  image: b\n+  image: c" in done.stdout


def test_explain_knows_the_schema(kubectl: Kubectl) -> None:
    text = kubectl("explain", "ct.spec")
    assert "GROUP:      stable.example.com\nKIND:       CronTab\nVERSION:    v1\n" in text
    assert "What is to be run, and when." in text and "cronSpec\t<string> -required-" in text
    assert "policy\t<string>\n  enum: Allow, Forbid\n" in text
    assert "jobs\t<[]Object>" in kubectl("explain", "crontabs.spec", "--recursive")
    rows = kubectl("api-resources", f"--api-group={GROUP}", "--no-headers").splitlines()
    assert rows[0].split() == ["crontabs", "ct", f"{GROUP}/v1", "true", "CronTab"]


def test_scale_reads_and_writes_the_paths(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=manifest("scaled"))
    assert kubectl("scale", "ct", "scaled", "--replicas=4") == f"crontab.{GROUP}/scaled scaled\n"
    assert kubectl("get", "ct", "scaled", "--subresource=scale", "-o", "jsonpath={.spec.replicas}") == "4"
    assert kubectl("scale", "ct/scaled", "--current-replicas=4", "--replicas=1") == f"crontab.{GROUP}/scaled scaled\n"
    assert "should be less than or equal to 10" in kubectl.refused("scale", "ct/scaled", "--replicas=11")


def test_what_is_wrong_is_said_before_it_is_stored(kubectl: Kubectl) -> None:
    unknown = kubectl.refused("create", "-f", "-", stdin=manifest("bad", imagine="x"))
    assert 'strict decoding error: unknown field "spec.imagine"' in unknown
    wrong = kubectl.refused("create", "-f", "-", stdin=manifest("bad", cronSpec="never", policy="Maybe"))
    assert wrong.splitlines()[1:] == [
        '* spec.cronSpec: Invalid value: "never": spec.cronSpec in body should match'
        r" '^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$'",
        '* spec.policy: Unsupported value: "Maybe": supported values: "Allow", "Forbid"',
    ]
    assert 'crontabs.stable.example.com "bad" not found' in kubectl.refused("get", "ct", "bad")


def test_describe_and_custom_columns(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=manifest("shown", jobs=[{"name": "a"}]))
    text = kubectl("describe", "ct", "shown")
    assert "API Version:  stable.example.com/v1\nKind:         CronTab\n" in text and "Tries:   3\n" in text
    columns = "custom-columns=N:.metadata.name,JOB:.spec.jobs[0].name"
    assert kubectl("get", "ct", "shown", "-o", columns).split() == ["N", "JOB", "shown", "a"]
    assert "Accepted Names:" in kubectl("describe", "crd", NAME)


def test_a_deleted_definition_is_waited_for(kubectl: Kubectl) -> None:
    value = json.dumps(definition("comets", "Comet"))
    kubectl("create", "-f", "-", stdin=value)
    kubectl("wait", f"crd/comets.{GROUP}", "--for=condition=Established", "--timeout=5s")
    kubectl("create", "-f", "-", stdin=json.dumps(cron_tab("Comet", "halley")))
    kubectl("delete", "-f", "-", stdin=value)
    # (kubectl itself remembers for a while what there was)
    assert "the server could not find the requested resource" in kubectl.refused("get", "comets")
