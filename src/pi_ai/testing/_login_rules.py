"""What the login servers of the providers demand of a request, and the codes they have given out.

Pure but for chance. Source: auth spec, sections 3.2 to 3.5.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from pi_ai.auth.oauth import anthropic_tokens, chatgpt_tokens, codex_tokens
from pi_ai.auth.oauth.endpoints import AnthropicEndpoints, ChatGptEndpoints, CodexEndpoints
from pi_ai.testing.loopback import LoopbackRequest

__all__ = ("AuthorizationRules", "Grant", "RefusedLoginError", "account_token", "read_fields")

_STATE = re.compile(r"[A-Za-z0-9_-]{22,}")
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_HOST_ID = re.compile(r"urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class RefusedLoginError(ValueError):
    """A request that a provider would refuse; `code` is its OAuth error."""

    def __init__(self, text: str, code: str = "invalid_request") -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class Grant:
    """A code that was given out, and what its exchange must say."""

    client_id: str
    redirect_uri: str
    challenge: str
    state: str

    def check(self, fields: Mapping[str, str]) -> None:
        """Raise `RefusedLoginError` unless `fields` exchange this code."""
        for name in ("client_id", "redirect_uri", "state"):
            if name in fields and fields[name] != getattr(self, name):
                raise RefusedLoginError(f"{name} is not that of the authorization", "invalid_grant")
        digest = hashlib.sha256(fields["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != self.challenge:
            raise RefusedLoginError("code_verifier does not fit the challenge", "invalid_grant")


@dataclass(frozen=True)
class AuthorizationRules:
    """The parameters of an authorization URL, in their order; None: checked by its form."""

    parameters: Mapping[str, str | None]
    redirect_uri: re.Pattern[str]

    @classmethod
    def anthropic(cls, endpoints: AnthropicEndpoints) -> AuthorizationRules:
        """Those of Claude Pro/Max, for the browser and the copied code."""
        parameters = {
            "code": "true",
            "client_id": anthropic_tokens.CLIENT_ID,
            "response_type": "code",
            "redirect_uri": None,
            "scope": endpoints.scope,
            "code_challenge": None,
            "code_challenge_method": "S256",
            "state": None,
        }
        copied = re.escape(endpoints.copy_code_redirect_uri)
        return cls(parameters, re.compile(rf"http://localhost:[0-9]+/callback|{copied}"))

    @classmethod
    def codex(cls, endpoints: CodexEndpoints) -> AuthorizationRules:
        """Those of ChatGPT Plus/Pro."""
        parameters = {
            "response_type": "code",
            "client_id": codex_tokens.CLIENT_ID,
            "redirect_uri": None,
            "scope": endpoints.scope,
            "code_challenge": None,
            "code_challenge_method": "S256",
            "state": None,
            "id_token_add_organizations": "true",
            "codex_cli_simplified_flow": "true",
            "originator": None,
        }
        return cls(parameters, re.compile(re.escape(endpoints.redirect_uri)))

    @classmethod
    def chatgpt(cls, endpoints: ChatGptEndpoints) -> AuthorizationRules:
        """Those of Sign in with ChatGPT."""
        parameters = {
            "client_id": endpoints.client_id,
            "agent_name_hint": None,
            "ext_agent_host_id": None,
            "response_type": "code",
            "redirect_uri": None,
            "resource": chatgpt_tokens.RESOURCE,
            "scope": endpoints.scope,
            "state": None,
            "code_challenge": None,
            "code_challenge_method": "S256",
            "nonce": None,
        }
        return cls(parameters, re.compile(re.escape(endpoints.redirect_uri)))

    def read(self, url: str) -> dict[str, str]:
        """The parameters of an authorization URL. Raises `RefusedLoginError`."""
        pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True, strict_parsing=True)
        names = [name for name, _ in pairs]
        if names != list(self.parameters):
            raise RefusedLoginError(f"expected the parameters {list(self.parameters)}, got {names}")
        found = dict(pairs)
        for name, wanted in self.parameters.items():
            if wanted is not None and found[name] != wanted:
                raise RefusedLoginError(f"{name}: expected {wanted}, got {found[name]}")
        forms = {
            "redirect_uri": self.redirect_uri,
            "state": _STATE,
            "nonce": _STATE,
            "code_challenge": _CHALLENGE,
            "ext_agent_host_id": _HOST_ID,
        }
        for name, form in forms.items():
            if name in found and not form.fullmatch(found[name]):
                raise RefusedLoginError(f"{name} is not of its form: {found[name]}")
        return found


def read_fields(
    request: LoopbackRequest, encoding: str, allowed: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """The fields of a token request: those of `allowed` for its grant type and no others.

    Raises `RefusedLoginError`.
    """
    if request.method != "POST":
        raise RefusedLoginError(f"expected POST, got {request.method}")
    told = request.headers.get("content-type")
    types = {"json": "application/json", "form": "application/x-www-form-urlencoded"}
    if told != types[encoding]:
        raise RefusedLoginError(f"expected the content type {types[encoding]}, got {told}")
    if encoding == "json":
        fields: dict[str, str] = json.loads(request.body)
    else:
        fields = dict(parse_qsl(request.body.decode("ascii"), strict_parsing=True))
    grant = fields.get("grant_type", "")
    if grant not in allowed:
        raise RefusedLoginError(f"unknown grant_type: {grant}", "unsupported_grant_type")
    if sorted(fields) != sorted(allowed[grant]):
        raise RefusedLoginError(
            f"expected the fields {sorted(allowed[grant])}, got {sorted(fields)}"
        )
    if blank := [name for name, value in fields.items() if not value.strip()]:
        raise RefusedLoginError(f"blank fields: {blank}")
    return fields


def account_token(account_id: str) -> str:
    """An access token that names a ChatGPT account, unlike any other."""
    claims = {
        "https://api.openai.com/auth": {"chatgpt_account_id": account_id},
        "jti": secrets.token_hex(8),
    }
    parts = ({"alg": "RS256", "typ": "JWT"}, claims)
    texts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts]
    return b".".join([*texts, b"c2lnbmF0dXJl"]).decode()
