"""The image catalogue: what ``image: nginx:1.27`` means on a machine without a registry.

Nothing is downloaded.  A row of catalogue.yaml says which names it answers to, which programs of this host it needs,
which files it lays over the host's file system (or over nothing), and what a Dockerfile would call ENTRYPOINT, CMD,
ENV and so on.  `reference` reads image names as containerd does, `catalogue` finds the row, `store` unpacks it once
per machine into layers that every container of that image shares.  Users add rows in a file of the same form.
"""

from knet.images.catalogue import Catalogue, CatalogueError, Row, UnknownImage
from knet.images.reference import InvalidReference, Reference, parse
from knet.images.store import Image, ImageStore, MissingProgram

__all__ = [
    "Catalogue",
    "CatalogueError",
    "Image",
    "ImageStore",
    "InvalidReference",
    "MissingProgram",
    "Reference",
    "Row",
    "UnknownImage",
    "parse",
]
