# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
"""What of `pi_ai.auth` fits which protocol; checked by pyright, never run."""

from __future__ import annotations

from typing import assert_type

from pi_ai import CredentialStore, FileCredentialStore, MemoryCredentialStore, Models
from pi_ai.auth.oauth.anthropic_tokens import AnthropicTokens
from pi_ai.auth.oauth.chatgpt_tokens import ChatGptTokens
from pi_ai.auth.oauth.codex_tokens import CodexTokens
from pi_ai.auth.resolve import ResolvedAuth
from pi_ai.auth.types import ApiKeyCredential, OAuthCredential, OAuthHandler, UnknownCredential


def stores() -> list[CredentialStore]:
    return [FileCredentialStore("auth.json"), MemoryCredentialStore()]


def handlers() -> list[OAuthHandler]:
    return [AnthropicTokens(), ChatGptTokens(), CodexTokens()]


async def values(models: Models, store: CredentialStore) -> None:
    assert_type(await models.credentials.get("anthropic"), ResolvedAuth | None)
    match await store.read("anthropic"):
        case ApiKeyCredential(key=key):
            assert_type(key, str | None)
        case OAuthCredential(expires=expires):
            assert_type(expires, float)
        case UnknownCredential(type=name):
            assert_type(name, str)
        case None:
            pass
