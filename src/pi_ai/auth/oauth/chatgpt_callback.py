"""Reading what Sign in with ChatGPT ends with: a code and the client id it was issued to. Pure.

Source: auth spec, section 3.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pi_ai.auth.oauth.foreign_text import clean_text
from pi_ai.auth.oauth.pasted_code import MISSING_CODE, read_query
from pi_ai.auth.oauth.pkce import same_secret
from pi_ai.errors import OAuthError
from pi_ai.json_text import sanitize_surrogates
from pi_ai.secrets import Secret

if TYPE_CHECKING:
    from pi_ai.auth.oauth.callback_server import Callback

__all__ = ("NO_CLIENT_ID", "PROVIDER", "IssuedCode", "read_callback", "read_pasted_url")

PROVIDER = "ChatGPT"
"""How pages and errors call the provider."""

NO_CLIENT_ID = "OpenAI OAuth registration callback did not contain an issued client ID"
"""The text where the client id is missing."""


class IssuedCode:
    """A code, the client id it was issued to, and the browser's callback if that brought them."""

    def __init__(self, code: Secret, client_id: str, callback: Callback | None = None) -> None:
        self.code = code
        self.client_id = client_id
        self.callback = callback

    def __repr__(self) -> str:
        return "<IssuedCode>"


def read_callback(callback: Callback) -> IssuedCode:
    """What the browser brought; the server has checked that it is there."""
    query = callback.query
    return IssuedCode(Secret(query["code"]), query["client_id"].strip(), callback)


def read_pasted_url(text: str, redirect_uri: str, state: Secret) -> IssuedCode:
    """What is in the pasted address that the browser ended at. Raises `OAuthError`."""
    text = sanitize_surrogates(text).strip()
    if not text.lower().startswith(("http:", "https:")):
        raise OAuthError("Paste the full callback URL from the browser")
    if not _leads_to(text, redirect_uri):
        raise OAuthError(f"The pasted callback URL must start with {redirect_uri}")
    query = read_query(text.partition("#")[0].partition("?")[2])
    told_state = query.get("state", "")
    if told_state and not same_secret(told_state, state):
        raise OAuthError("OAuth state mismatch")
    if error := query.get("error_description") or query.get("error"):
        raise OAuthError(f"{PROVIDER} authorization failed: {clean_text(error, [state])}")
    code, client_id = query.get("code", "").strip(), query.get("client_id", "").strip()
    if not code:
        raise OAuthError(MISSING_CODE)
    if not told_state:
        raise OAuthError("Missing OAuth state")
    if not client_id:
        raise OAuthError(NO_CLIENT_ID)
    return IssuedCode(Secret(code), client_id)


def _leads_to(url: str, redirect_uri: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    wanted = urlsplit(redirect_uri)
    return (parts.scheme, parts.netloc, parts.path) == (wanted.scheme, wanted.netloc, wanted.path)
