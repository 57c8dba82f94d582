"""Protobuf request bodies, as Go clients send them: kubectl from 1.32 on posts them for ``create namespace`` and such.

Only reading is needed: answers to the same clients are JSON, which they name as their second choice.  `wire` reads the
encoding, `fields` holds the numbers of the fields, `decode` joins both with the schema's types.

https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding
"""

from knet.apiserver.protobuf.decode import MEDIA_TYPE, ProtobufError, decode

__all__ = ["MEDIA_TYPE", "ProtobufError", "decode"]
