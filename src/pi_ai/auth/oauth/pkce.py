"""The random values of an authorization request. Source: RFC 7636, auth spec 3.1."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable

from pi_ai.secrets import Masked, Secret

__all__ = ("Pkce", "create_pkce", "random_token", "same_secret")


class Pkce(Masked, frozen=True):
    """A verifier, which only the exchange sends, and its S256 challenge. 43 characters each."""

    verifier: Secret
    challenge: str

    def __repr__(self) -> str:
        return "<Pkce>"


def create_pkce(random_bytes: Callable[[int], bytes]) -> Pkce:
    """A new pair."""
    verifier = random_token(random_bytes)
    return Pkce(verifier, _base64url(hashlib.sha256(verifier.encode("ascii")).digest()))


def random_token(random_bytes: Callable[[int], bytes]) -> Secret:
    """32 random bytes as unpadded base64url."""
    return Secret(_base64url(random_bytes(32)))


def same_secret(one: str, other: str) -> bool:
    """Whether two texts are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(
        one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass")
    )


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
