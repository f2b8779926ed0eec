"""examples/login.py as a user meets it: every login against a server on loopback."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from msgspec.structs import replace

import pi_ai.http.client  # noqa: F401  # loaded now, so that no test's clock counts it
from pi_ai import FileCredentialStore, Models
from pi_ai.auth.oauth.runtime import OAuthRuntime
from pi_ai.testing import LoginServer
from pi_ai.testing.login_server import get_page

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "login.py"
LOGINS: dict[str, Any] = {
    "anthropic": LoginServer.anthropic,
    "openai-codex": LoginServer.codex,
    "openai": LoginServer.chatgpt,
}


class Screen:
    """The terminal of the example: what it printed, and a pipe for what the user types."""

    def __init__(self) -> None:
        self.text = ""
        self._changed = asyncio.Event()
        reading, self._writing = os.pipe()
        self.stdin = os.fdopen(reading)

    def print(self, *values: object, end: str = "\n", flush: bool = False) -> None:
        self.text += " ".join(map(str, values)) + end
        self._changed.set()

    def type(self, line: str) -> None:
        os.write(self._writing, f"{line}\n".encode())

    async def shows(self, pattern: str) -> str:
        """Wait for a text; gives its first group."""
        while (found := re.search(pattern, self.text)) is None:
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), 5)
        return found[1]

    def close(self) -> None:
        os.close(self._writing)
        self.stdin.close()


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    spec = importlib.util.spec_from_file_location("login_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.screen = Screen()
    module.print = module.screen.print
    module.TERMINAL = replace_progress(module.TERMINAL, module.screen.print)
    monkeypatch.setattr(sys, "stdin", module.screen.stdin)
    yield module
    module.screen.close()


def replace_progress(host: Any, show: Callable[..., None]) -> Any:
    return type(host)(**{**vars(host), "on_progress": show})


def run(
    example: Any,
    path: Path,
    provider: str,
    user: Callable[[LoginServer, Screen], Any],
    *,
    method: tuple[str, ...] = (),
    runtime: OAuthRuntime | None = None,
) -> str | int | None:
    """Log in while `user` acts; None, or what the program ended with."""

    async def main() -> str | int | None:
        models = Models(credentials=FileCredentialStore(path))
        async with LoginServer() as server:
            row = models.get_provider(provider)
            assert row is not None
            models.set_provider(replace(row, oauth=LOGINS[provider](server, runtime)))
            login = asyncio.create_task(
                exit_of(example.log_in(models, example.TERMINAL, provider, *method))
            )
            acting = asyncio.create_task(user(server, example.screen))
            try:
                return await asyncio.wait_for(login, 10)
            finally:
                with suppress(asyncio.CancelledError):
                    await acting

    return asyncio.run(main())


async def exit_of(work: Any) -> str | int | None:
    try:
        await work
    except SystemExit as error:
        return error.code
    return None


def str_of(value: Any) -> str:
    return "-".join(value) if isinstance(value, tuple) else getattr(value, "__name__", str(value))


async def use_browser(server: LoginServer, screen: Screen) -> None:
    url = await screen.shows(r"(http\S+)\n")
    status, page = await server.visit(url)
    assert (status, "Signed in" in page) == (200, True)


async def paste_address(server: LoginServer, screen: Screen) -> None:
    url = await screen.shows(r"(http\S+)\n")
    await screen.shows("(Paste)")
    screen.type(server.authorize(url))


async def paste_copied_code(server: LoginServer, screen: Screen) -> None:
    url = await screen.shows(r"(http\S+)\n")
    screen.type(server.copied_code(url))


async def confirm_device(server: LoginServer, screen: Screen) -> None:
    server.confirm_device(await screen.shows(r"Enter (\w+) at http"))


@pytest.mark.parametrize(
    ("provider", "method", "user"),
    [
        ("anthropic", (), use_browser),
        ("anthropic", ("browser",), paste_address),
        ("anthropic", ("copy_code",), paste_copied_code),
        ("openai-codex", (), use_browser),
        ("openai-codex", ("browser",), paste_address),
        ("openai-codex", ("device_code",), confirm_device),
        ("openai", (), use_browser),
        ("openai", (), paste_address),
    ],
    ids=lambda value: (
        "-".join(value) if isinstance(value, tuple) else getattr(value, "__name__", value)
    ),
)
def test_a_login_ends_with_tokens_in_the_file(
    example: Any, tmp_path: Path, provider: str, method: Any, user: Any
) -> None:
    path = tmp_path / "auth.json"
    assert run(example, path, provider, user, method=method) is None
    assert f"{provider}: AuthStatus(configured=True, source='stored'" in example.screen.text
    stored = json.loads(path.read_text())
    assert list(stored) == [provider]
    assert stored[provider]["type"] == "oauth"
    assert path.stat().st_mode & 0o777 == 0o600
    for secret in (stored[provider]["access"], stored[provider]["refresh"]):
        assert secret not in example.screen.text


async def refuse(server: LoginServer, screen: Screen) -> None:
    await server.visit(await screen.shows(r"(http\S+)\n"), error="access_denied")


async def paste_wrong_state(server: LoginServer, screen: Screen) -> None:
    url = await screen.shows(r"(http\S+)\n")
    state = dict(parse_qsl(urlsplit(url).query))["state"]
    target = server.authorize(url)
    status, _ = await get_page(target.replace(state, "wrong"))
    assert status == 400  # the login goes on
    screen.type(target.replace(state, "wrong"))


async def do_nothing(_server: LoginServer, _screen: Screen) -> None:
    return None


SOON = OAuthRuntime(sign_in_timeout_seconds=0.05)


@pytest.mark.parametrize(
    ("provider", "user", "runtime", "text"),
    [
        ("anthropic", refuse, None, "Anthropic authorization failed: access_denied"),
        ("openai-codex", refuse, None, "OpenAI authorization failed: access_denied"),
        ("openai", refuse, None, "ChatGPT authorization failed: access_denied"),
        ("anthropic", paste_wrong_state, None, "OAuth state mismatch"),
        ("openai-codex", paste_wrong_state, None, "State mismatch"),
        ("openai", paste_wrong_state, None, "OAuth state mismatch"),
        ("anthropic", do_nothing, SOON, "Anthropic sign-in timed out"),
        ("openai-codex", do_nothing, SOON, "OpenAI sign-in timed out"),
        ("openai", do_nothing, SOON, "ChatGPT sign-in timed out"),
    ],
)
def test_a_login_that_fails_says_why_and_stores_nothing(
    example: Any, tmp_path: Path, provider: str, user: Any, runtime: Any, text: str
) -> None:
    path = tmp_path / "auth.json"
    assert run(example, path, provider, user, runtime=runtime) == text
    assert not path.exists()


@pytest.mark.parametrize("provider", LOGINS)
def test_control_c_ends_a_login(example: Any, tmp_path: Path, provider: str) -> None:
    async def main() -> None:
        models = Models(credentials=FileCredentialStore(tmp_path / "auth.json"))
        async with LoginServer() as server:
            row = models.get_provider(provider)
            assert row is not None
            models.set_provider(replace(row, oauth=LOGINS[provider](server)))
            login = asyncio.create_task(example.log_in(models, example.TERMINAL, provider))
            await example.screen.shows("(Paste)")
            login.cancel()  # what asyncio.run does at Control-C
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(login, 2)
            assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())
    assert not (tmp_path / "auth.json").exists()
