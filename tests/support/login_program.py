"""Runs examples/login.py, its providers on loopback: `login_program.py SETUP ARGUMENTS...`.

SETUP is JSON: the endpoints of each provider, and `limit_seconds` for the wait for the browser,
None for as long as the user likes. What runs is the program itself, its terminal and its end.
"""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

import pi_ai.models
from pi_ai.auth.oauth.anthropic import AnthropicOAuth
from pi_ai.auth.oauth.endpoints import AnthropicEndpoints, ChatGptEndpoints, CodexEndpoints
from pi_ai.auth.oauth.openai_chatgpt import ChatGptOAuth
from pi_ai.auth.oauth.openai_codex import CodexOAuth
from pi_ai.auth.oauth.runtime import OAuthRuntime
from pi_ai.catalog.providers import PROVIDERS
from pi_ai.testing import LoginServer

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "login.py"
_LOGINS: dict[str, Any] = {
    "anthropic": (AnthropicOAuth, AnthropicEndpoints),
    "openai-codex": (CodexOAuth, CodexEndpoints),
    "openai": (ChatGptOAuth, ChatGptEndpoints),
}


def setup(server: LoginServer, *, limit_seconds: float | None = None) -> str:
    """SETUP for the providers of `server`."""
    endpoints = {
        "anthropic": server.anthropic_endpoints,
        "openai-codex": server.codex_endpoints,
        "openai": server.chatgpt_endpoints,
    }
    return msgspec.json.encode({"endpoints": endpoints, "limit_seconds": limit_seconds}).decode()


def main() -> None:
    told = json.loads(sys.argv[1])
    runtime = OAuthRuntime(sign_in_timeout_seconds=told["limit_seconds"])
    rows: dict[str, Any] = dict(PROVIDERS)
    for name, fields in told["endpoints"].items():
        login, kind = _LOGINS[name]
        handler = login(msgspec.convert(fields, kind), runtime)
        rows[name] = replace(rows[name], oauth=handler)
    pi_ai.models.PROVIDERS = rows
    sys.argv = [str(EXAMPLE), *sys.argv[2:]]
    runpy.run_path(str(EXAMPLE), run_name="__main__")


if __name__ == "__main__":
    main()
