"""Reading what a user pastes at the end of a login: a code, or where the browser ended. Pure.

Source: auth spec, section 3.3 and D-4.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from pi_ai.auth.oauth.foreign_text import clean_text
from pi_ai.auth.oauth.pkce import same_secret
from pi_ai.errors import OAuthError
from pi_ai.json_text import sanitize_surrogates
from pi_ai.secrets import Masked, Secret

__all__ = ("MISSING_CODE", "PastedCode", "read_pasted_code", "read_query")

MISSING_CODE = "Missing authorization code"
"""The text where a code was expected and none came."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


class PastedCode(Masked, frozen=True, kw_only=True):
    """What was found in a paste; "" where nothing was. `error` is the provider's refusal."""

    code: str = ""
    state: str = ""
    error: str = ""

    def __repr__(self) -> str:
        return "<PastedCode>"

    def require(self, state: str, *, provider: str, mismatch: str) -> Secret:
        """The code, if it belongs to the attempt with `state` or does not say.

        Raises `OAuthError`: `mismatch` for another attempt's, else why there is no code.
        """
        if self.state and not same_secret(self.state, state):
            raise OAuthError(mismatch)
        if self.code:
            return Secret(self.code)
        if self.error:
            raise OAuthError(f"{provider} authorization failed: {clean_text(self.error, [state])}")
        raise OAuthError(MISSING_CODE)


def read_pasted_code(text: str) -> PastedCode:
    """Code and state of a URL, of `code#state`, of a query, or a code alone.

    Raises `OAuthError` when a parameter is there more than once.
    """
    text = sanitize_surrogates(text).strip()
    if _SCHEME.match(text):
        return _from_query(text.partition("#")[0].partition("?")[2])
    if "#" in text:
        code, state, *_ = text.split("#")
        return PastedCode(code=code, state=state)
    if "code=" in text:
        return _from_query(text.removeprefix("?"))
    return PastedCode(code=text)


def _from_query(query: str) -> PastedCode:
    found = read_query(query)
    return PastedCode(
        code=found.get("code", ""),
        state=found.get("state", ""),
        error=found.get("error_description") or found.get("error", ""),
    )


def read_query(query: str) -> dict[str, str]:
    """The parameters of a pasted query; of a broken percent escape the text as it is.

    Raises `OAuthError` when one is there more than once (RFC 6749, section 3.1).
    """
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True, max_num_fields=None):
        if name in found and name in {"code", "state", "error", "client_id"}:
            raise OAuthError(f"The pasted text has more than one {name}. Paste it again, once.")
        found[name] = value
    return found
