"""An operator written with kopf, unchanged: create, update and delete handlers, finalizers, status, events."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from apiserver_harness import JSON, MERGE, Api, Server, running
from custom_harness import cron_tab, define, definition, gone, path, reached, version

MAPS = "/api/v1/namespaces/default/configmaps"
EVENTS = "/api/v1/namespaces/default/events"
TABS = path("crontabs")
OPERATOR = Path(__file__).with_name("kopf_operator.py")

STATUS: JSON = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def crontabs() -> JSON:
    """A definition whose status an operator may fill as it likes, as kopf's documentation advises."""
    value = definition("crontabs", "CronTab", version(subresources={"status": {}}))
    value["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"] = STATUS
    return value


@contextmanager
def operator(server: Server) -> Iterator["subprocess.Popen[str]"]:
    """``kopf run``, until the block ends; its output is shown if that fails."""
    command = [sys.executable, "-m", "kopf", "run", "--standalone", "--all-namespaces", "--verbose", str(OPERATOR)]
    environment = {**os.environ, "KUBECONFIG": str(server.kubeconfig)}
    with (server.directory / "kopf.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, text=True)
        try:
            yield process
        except BaseException:
            print((server.directory / "kopf.log").read_text())
            raise
        finally:
            process.terminate()
            process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    async def prepare(api: Api) -> None:
        await define(api, crontabs())

    with running(tmp_path_factory.mktemp("kopf")) as found:
        found.run(prepare)
        with operator(found):
            yield found


def test_the_life_of_an_object_with_an_operator(server: Server) -> None:
    async def test(api: Api) -> None:
        await api("POST", TABS, cron_tab("CronTab", "nightly", replicas=2))
        made = await reached(api, TABS, "nightly", lambda value: value.get("status", {}).get("phase") == "Made")
        assert made["status"]["create"] == {"jobs": 2}
        assert made["metadata"]["finalizers"] == ["kopf.zalando.org/KopfFinalizerMarker"]
        assert made["metadata"]["generation"] == 1
        child = (await api("GET", MAPS + "/nightly-jobs")).body
        assert child["data"] == {"when": "* * * * */5"}
        [owner] = child["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"]) == ("CronTab", made["metadata"]["uid"])

        await api("PATCH", TABS + "/nightly", {"spec": {"replicas": 5}}, MERGE)
        scaled = await reached(api, TABS, "nightly", lambda value: value["status"].get("replicas") == 5)
        assert scaled["status"]["phase"] == "Scaled from 2 to 5" and scaled["metadata"]["generation"] == 2

        assert "deletionTimestamp" in (await api("DELETE", TABS + "/nightly")).body["metadata"]
        await gone(api, TABS, "nightly")
        assert (await api("GET", MAPS + "/nightly-tombstone")).code == 200
        [event] = await api.lines(EVENTS + "?watch=1&fieldSelector=involvedObject.name%3Dnightly", 1)
        told = event["object"]
        assert (told["reason"], told["message"], told["type"]) == ("Made", "jobs are planned", "Normal")

    server.run(test)
