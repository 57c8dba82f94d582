"""OpenID discovery: how others find the key that service-account tokens are signed with, to verify them.

https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#service-account-issuer-discovery
"""

import base64
import hashlib
from typing import Any

import orjson
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm

CONFIGURATION = "/.well-known/openid-configuration"
KEYS = "/openid/v1/jwks"


def key_id(public: Any) -> str:
    """By what a token's header names the key: a hash of it, as upstream's."""
    encoded = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.urlsafe_b64encode(hashlib.sha256(encoded).digest()).decode().rstrip("=")


def documents(public: Any, issuer: str, algorithm: str) -> dict[str, tuple[str, bytes]]:
    """Path → media type and content."""
    configuration = {
        "issuer": issuer,
        "jwks_uri": issuer + KEYS,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [algorithm],
    }
    key = {"use": "sig", "kid": key_id(public), "alg": algorithm, **ECAlgorithm.to_jwk(public, as_dict=True)}
    return {
        CONFIGURATION: ("application/json", orjson.dumps(configuration)),
        KEYS: ("application/jwk-set+json", orjson.dumps({"keys": [key]})),
    }
