"""examples/login.py as a user meets it: a process, every login against a server on loopback."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from pi_ai.testing import LoginServer
from pi_ai.testing.login_server import get_page
from support import login_program
from support.logins import is_free

PROVIDERS = ("anthropic", "openai-codex", "openai")
URL = r"(http\S+)\n"


class Program:
    """The program in a process of its own: its terminal, and how it ended."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.text = ""

    async def shows(self, pattern: str) -> str:
        """Wait for a text; gives its first group."""
        assert self._process.stdout is not None
        while (found := re.search(pattern, self.text)) is None:
            read = await asyncio.wait_for(self._process.stdout.read(4096), 10)
            assert read, f"ended without {pattern}: {self.text}"
            self.text += read.decode()
        return found[1]

    def type(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())

    def press_control_c(self) -> None:
        os.killpg(self._process.pid, signal.SIGINT)

    async def end(self) -> int:
        """Wait for the end; gives the exit status."""
        assert self._process.stdout is not None
        self.text += (await asyncio.wait_for(self._process.stdout.read(), 10)).decode()
        return await self._process.wait()


User = Callable[[LoginServer, Program], Awaitable[None]]


def run(
    directory: Path,
    arguments: tuple[str, ...],
    user: User,
    *,
    limit_seconds: float | None = None,
    stdin: int = asyncio.subprocess.PIPE,
) -> tuple[int, str]:
    """Run the program while `user` acts; gives its exit status and all that it printed."""

    async def main() -> tuple[int, str]:
        async with LoginServer() as server:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-u", login_program.__file__),
                login_program.setup(server, limit_seconds=limit_seconds),
                *arguments,
                stdin=stdin,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                cwd=directory,
                start_new_session=True,
            )
            program = Program(process)
            try:
                await user(server, program)
                status = await program.end()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            for endpoints in (server.anthropic_endpoints, server.codex_endpoints):
                assert is_free(endpoints.callback_port)
            return status, program.text

    return asyncio.run(main())


async def use_browser(server: LoginServer, program: Program) -> None:
    status, page = await server.visit(await program.shows(URL))
    assert (status, "Signed in" in page) == (200, True)


async def paste_address(server: LoginServer, program: Program) -> None:
    url = await program.shows(URL)
    await program.shows("(Paste)")
    program.type(server.authorize(url))


async def paste_copied_code(server: LoginServer, program: Program) -> None:
    program.type(server.copied_code(await program.shows(URL)))


async def confirm_device(server: LoginServer, program: Program) -> None:
    server.confirm_device(await program.shows(r"Enter (\w+) at http"))


async def be_wrong_first(server: LoginServer, program: Program) -> None:
    """A callback of another attempt is turned away, and the login goes on."""
    url = await program.shows(URL)
    state = dict(parse_qsl(urlsplit(url).query))["state"]
    for wrong in ("wrong", ""):
        status, page = await get_page(server.authorize(url).replace(state, wrong))
        assert (status, "State mismatch." in page) == (400, True)
    await use_browser(server, program)


def name_of(value: Any) -> str:
    return "-".join(value) if isinstance(value, tuple) else getattr(value, "__name__", str(value))


@pytest.mark.parametrize(
    ("arguments", "user"),
    [
        (("anthropic",), use_browser),
        (("anthropic", "browser"), paste_address),
        (("anthropic", "copy_code"), paste_copied_code),
        (("openai-codex",), use_browser),
        (("openai-codex", "browser"), paste_address),
        (("openai-codex", "device_code"), confirm_device),
        (("openai",), use_browser),
        (("openai",), paste_address),
        *(((provider,), be_wrong_first) for provider in PROVIDERS),
    ],
    ids=name_of,
)
def test_a_login_ends_with_tokens_in_the_file(
    tmp_path: Path, arguments: tuple[str, ...], user: User
) -> None:
    provider = arguments[0]
    status, text = run(tmp_path, arguments, user)
    assert text.endswith(
        f"{provider}: AuthStatus(configured=True, source='stored', label=None)\n"
    ), text
    assert status == 0
    path = tmp_path / "auth.json"
    stored = json.loads(path.read_text())
    assert list(stored) == [provider]
    assert stored[provider]["type"] == "oauth"
    assert path.stat().st_mode & 0o777 == 0o600
    for secret in (stored[provider]["access"], stored[provider]["refresh"]):
        assert secret not in text


def test_without_a_terminal_the_browser_will_do(tmp_path: Path) -> None:
    status, text = run(tmp_path, ("anthropic",), use_browser, stdin=asyncio.subprocess.DEVNULL)
    assert status == 0, text
    assert list(json.loads((tmp_path / "auth.json").read_text())) == ["anthropic"]


async def refuse(server: LoginServer, program: Program) -> None:
    await server.visit(await program.shows(URL), error="access_denied")


async def paste_wrong_state(server: LoginServer, program: Program) -> None:
    url = await program.shows(URL)
    state = dict(parse_qsl(urlsplit(url).query))["state"]
    program.type(server.authorize(url).replace(state, "wrong"))


async def press_control_c(_server: LoginServer, program: Program) -> None:
    await program.shows("(Paste|Enter)")
    program.press_control_c()


async def do_nothing(_server: LoginServer, _program: Program) -> None:
    return None


@pytest.mark.parametrize(
    ("arguments", "user", "text"),
    [
        (("anthropic",), refuse, "Anthropic authorization failed: access_denied"),
        (("openai-codex",), refuse, "OpenAI authorization failed: access_denied"),
        (("openai",), refuse, "ChatGPT authorization failed: access_denied"),
        (("anthropic",), paste_wrong_state, "OAuth state mismatch"),
        (("anthropic", "copy_code"), paste_wrong_state, "OAuth state mismatch"),
        (("openai-codex",), paste_wrong_state, "State mismatch"),
        (("openai",), paste_wrong_state, "OAuth state mismatch"),
        (("anthropic",), press_control_c, "Login cancelled"),
        (("anthropic", "copy_code"), press_control_c, "Login cancelled"),
        (("openai-codex",), press_control_c, "Login cancelled"),
        (("openai-codex", "device_code"), press_control_c, "Login cancelled"),
        (("openai",), press_control_c, "Login cancelled"),
    ],
    ids=name_of,
)
def test_a_login_that_fails_says_why_and_stores_nothing(
    tmp_path: Path, arguments: tuple[str, ...], user: User, text: str
) -> None:
    status, printed = run(tmp_path, arguments, user)
    assert printed.splitlines()[-1] == text
    assert "Traceback" not in printed
    assert status == 1
    assert not (tmp_path / "auth.json").exists()


@pytest.mark.parametrize(
    ("provider", "text"),
    [("anthropic", "Anthropic"), ("openai-codex", "OpenAI"), ("openai", "ChatGPT")],
)
def test_a_browser_that_never_comes_ends_a_login_that_has_a_limit(
    tmp_path: Path, provider: str, text: str
) -> None:
    status, printed = run(tmp_path, (provider,), do_nothing, limit_seconds=0.1)
    assert printed.splitlines()[-1] == f"{text} sign-in timed out"
    assert status == 1
    assert not (tmp_path / "auth.json").exists()
