"""Which volume a claim gets."""

from typing import Any

import msgspec
import pytest

from knet.api.storage import PersistentVolume, PersistentVolumeClaim
from knet.api.volume_matching import best


def volume(name: str, size: str = "1Gi", phase: str = "Available", **spec: Any) -> PersistentVolume:
    spec = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], **spec}
    labels = {"disk": name}
    row = {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": {"phase": phase}}
    return msgspec.convert(row, PersistentVolume)


def claim(size: str = "1Gi", **spec: Any) -> PersistentVolumeClaim:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **spec}
    row = {"metadata": {"name": "data", "namespace": "shop", "uid": "c1"}, "spec": spec}
    return msgspec.convert(row, PersistentVolumeClaim)


FOR_US = {"namespace": "shop", "name": "data"}
FOR_OTHERS = {"namespace": "shop", "name": "other"}


@pytest.mark.parametrize(
    ("wanted", "volumes", "waits", "chosen"),
    [
        (claim(), [volume("big", "5Gi"), volume("fits"), volume("small", "512Mi")], False, "fits"),
        (claim("2Gi"), [volume("big", "5Gi"), volume("fits")], False, "big"),
        (claim("10Gi"), [volume("big", "5Gi")], False, None),
        (claim(), [volume("kept", "5Gi", claimRef=FOR_US), volume("fits")], False, "kept"),
        (claim(), [volume("kept", claimRef=FOR_OTHERS)], False, None),
        (claim(), [volume("kept", claimRef={**FOR_US, "uid": "c0"})], False, None),
        (claim(), [volume("kept", claimRef={**FOR_US, "uid": "c1"})], False, "kept"),
        (claim(), [volume("fits")], True, None),
        (claim(), [volume("fits"), volume("kept", claimRef=FOR_US)], True, "kept"),
        (claim(accessModes=["ReadWriteMany"]), [volume("fits")], False, None),
        (claim(), [volume("fits", accessModes=["ReadWriteMany", "ReadWriteOnce"])], False, "fits"),
        (claim(volumeMode="Block"), [volume("fits")], False, None),
        (claim(storageClassName="slow"), [volume("fits"), volume("slow", storageClassName="slow")], False, "slow"),
        (claim(selector={"matchLabels": {"disk": "b"}}), [volume("a"), volume("b")], False, "b"),
        (claim(), [volume("gone", phase="Released"), volume("broken", phase="Failed")], False, None),
        (claim(), [volume("new", phase="Pending")], False, "new"),
    ],
)
def test_the_smallest_that_has_all_it_asks_for(
    wanted: PersistentVolumeClaim, volumes: list[PersistentVolume], waits: bool, chosen: str | None
) -> None:
    found = best(wanted, volumes, waits)
    assert (found.name if found is not None else None) == chosen
