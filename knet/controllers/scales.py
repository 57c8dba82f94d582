"""The scale of anything that has one, known to this process or not."""

import msgspec
import orjson

from knet.api import resources
from knet.api.autoscaling import Scale
from knet.client import Client, NotFound

_decoder = msgspec.json.Decoder(Scale)


class NotScalable(NotFound):
    """Objects of that kind have no number of replicas."""

    def __init__(self, resource: str) -> None:
        super().__init__(404, "NotFound", f"{resource} does not implement the scale subresource")


async def scale_path(client: Client, api_version: str, kind: str, namespace: str, name: str) -> str:
    """Where an object's scale is; NotFound where its kind is not served, NotScalable."""
    row = resources.by_kind(api_version, kind)
    if row is not None:
        if "scale" not in row.subresources:
            raise NotScalable(row.group_resource)
        return row.path(namespace, name, "scale")
    served = orjson.loads(await client.raw("GET", f"/apis/{api_version}"))["resources"]
    names = {entry["name"] for entry in served}
    for entry in served:
        if entry["kind"] == kind and "/" not in entry["name"]:
            if f"{entry['name']}/scale" not in names:
                raise NotScalable(f"{entry['name']}.{api_version.partition('/')[0]}")
            return f"/apis/{api_version}/namespaces/{namespace}/{entry['name']}/{name}/scale"
    raise NotFound(404, "NotFound", f'no matches for kind "{kind}" in group "{api_version}"')


async def read_scale(client: Client, path: str) -> Scale:
    """The scale at such a path."""
    return _decoder.decode(await client.raw("GET", path))
