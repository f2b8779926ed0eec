"""The random values of a login. Auth spec, section 3.1."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets

from pi_ai.auth.oauth.pkce import create_pkce, random_token, same_secret


def test_auth_check_1_verifier_and_challenge_have_their_form() -> None:
    pkce = create_pkce(secrets.token_bytes)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", pkce.verifier)
    digest = hashlib.sha256(pkce.verifier.encode("ascii")).digest()
    assert base64.urlsafe_b64decode(pkce.challenge + "=") == digest
    assert len(pkce.challenge) == 43


def test_the_example_of_rfc_7636_comes_out() -> None:
    given = base64.urlsafe_b64decode("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk=")
    pkce = create_pkce(lambda size: given[:size])
    assert pkce.verifier == "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert pkce.challenge == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_values_are_of_256_bits_and_never_show() -> None:
    sizes: list[int] = []

    def random_bytes(size: int) -> bytes:
        sizes.append(size)
        return secrets.token_bytes(size)

    pkce, state = create_pkce(random_bytes), random_token(random_bytes)
    assert sizes == [32, 32]
    assert pkce.verifier not in repr((pkce, pkce.verifier))
    assert repr(state) == "<secret>"


def test_secrets_are_compared_whatever_they_hold() -> None:
    assert same_secret("é\udc80", "é\udc80")
    assert not same_secret("", "x")
    assert not same_secret("x", "X")
