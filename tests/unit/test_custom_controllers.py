"""Controllers that are about every kind see custom ones come and go: garbage collection, deletion of namespaces."""

import control_plane_harness
from control_plane_harness import World
from custom_harness import DEFINITIONS, GROUP, cron_tab, definition, path

from knet.api import resources
from knet.api.extensions import CustomResourceDefinition, rows
from knet.api.objects import JSON, KubeObject, Namespace
from knet.client import Client
from knet.controllers.classes import metadata_class

MAPS = metadata_class(resources.CONFIGMAPS)


async def until_gone(client: Client, cls: type[KubeObject], namespace: str, name: str) -> None:
    """Follow a kind until an object of it has been deleted."""
    listing = await client.list(cls, namespace)
    if all(row.name != name for row in listing.items):
        return
    async for event in client.watch(cls, listing.resource_version, namespace):
        if event.type == "DELETED" and event.object.name == name:
            return


async def define(client: Client, plural: str, kind: str) -> type[KubeObject]:
    """A new custom kind, as soon as it is served."""
    value = definition(plural, kind)
    await client.raw("POST", DEFINITIONS, value)
    listing = await client.list(CustomResourceDefinition)
    seen = [row for row in listing.items if row.name == value["metadata"]["name"] and rows(row)]
    if seen:
        return metadata_class(rows(seen[0])[0])
    async for event in client.watch(CustomResourceDefinition, listing.resource_version):
        if event.object.name == value["metadata"]["name"] and rows(event.object):
            return metadata_class(rows(event.object)[0])
    raise AssertionError("the watch ended")


async def make(client: Client, cls: type[KubeObject], name: str, namespace: str = "default") -> KubeObject:
    plural, kind = cls.resource.plural, cls.resource.kind
    await client.raw("POST", path(plural, namespace=namespace), cron_tab(kind, name))
    return await client.get(cls, name, namespace)


async def make_map(client: Client, name: str, owner: KubeObject, **more: object) -> None:
    row = owner.resource
    reference: JSON = {"apiVersion": row.api_version, "kind": row.kind, "name": owner.name, "uid": owner.uid, **more}
    await client.create(MAPS, {"metadata": {"name": name, "ownerReferences": [reference]}}, "default")


def test_what_custom_resources_own_goes_with_them() -> None:
    async def test(world: World) -> None:
        client = world.client
        kind = await define(client, "owners", "Owner")
        owner, other = await make(client, kind, "one"), await make(client, kind, "two")
        await make_map(client, "owned", owner)
        await make_map(client, "kept", other)
        await client.delete(kind, "one", "default")
        await until_gone(client, MAPS, "default", "owned")
        # dependents first, where that is asked for
        await make_map(client, "blocking", other, blockOwnerDeletion=True)
        await client.delete(kind, "two", "default", propagation="Foreground")
        await until_gone(client, kind, "default", "two")
        assert {row.name for row in (await client.list(MAPS, "default")).items} == {"kube-root-ca.crt"}

    control_plane_harness.run(test, nodes=())


def test_a_definition_takes_along_what_its_objects_own() -> None:
    async def test(world: World) -> None:
        client = world.client
        kind = await define(client, "owners", "Owner")
        await make_map(client, "owned", await make(client, kind, "one"))
        await client.raw("DELETE", f"{DEFINITIONS}/owners.{GROUP}")
        await until_gone(client, MAPS, "default", "owned")
        await until_gone(client, CustomResourceDefinition, "", f"owners.{GROUP}")
        # defined again, it is collected again
        kind = await define(client, "owners", "Owner")
        owner = await make(client, kind, "three")
        await make_map(client, "again", owner)
        await client.delete(kind, "three", "default")
        await until_gone(client, MAPS, "default", "again")

    control_plane_harness.run(test, nodes=())


def test_a_namespace_takes_its_custom_resources_along() -> None:
    async def test(world: World) -> None:
        client = world.client
        kind = await define(client, "tenants", "Tenant")
        await client.raw("POST", "/api/v1/namespaces", {"metadata": {"name": "busy"}})
        await make(client, kind, "one", "busy")
        await client.raw("DELETE", "/api/v1/namespaces/busy")
        await until_gone(client, Namespace, "", "busy")
        assert not (await client.list(kind, "busy")).items

    control_plane_harness.run(test, nodes=())
