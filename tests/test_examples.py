"""Every example, and every Python block of the documentation, runs without a key."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace

from pi_ai.http.client import AiohttpTransport
from pi_ai.http.transport import HttpRequest, HttpResponse
from pi_ai.models import default_models
from pi_ai.testing import ScriptedServer, faux_message

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    pytest.param(block, id=f"{path.stem}-{number}")
    for path in DOCUMENTS
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL))
]
EXPECTED = {
    "agent_session": "Then we start with the smallest.",
    "ask_a_model": "A monoid in the category of endofunctors.",
    "coding_agent": "It was hello.txt.",
    "compaction": "10180 -> 1084 tokens",
    "confined_agent": "ls ['Path is outside the allowed directories: ",
    "credentials_in_keyring": "used: <ResolvedAuth from stored credential>",
    "function_tools": "A minute.",
    "local_server": "from models.json, The one in the cellar: Below the stairs.",
    "login": "anthropic: AuthStatus(configured=True, source='stored'",
    "minimal_agent": "The light comes a longer way: red is left.",
    "permission_gate": "Nobody is here to allow it. Do without.",
    "proxy_client": "It is 7006652.",
    "proxy_server": "They stayed on the server.",
    "read_only_agent": "shop.py:1: def total(prices):",
    "replace_session": "the first again: Rome.",
    "rpc_client": "again: As I said: the milk.",
    "service_tiers": "flex: They agreed. $2.25\npriority: At once. $9.00",
    "sessions": "With its result: ['assistant', 'toolResult']",
    "settings": "bash: Hello, Ada.",
    "steering": "stopped: aborted",
    "tools_in_docker": "hello.txt is there.",
    "tools_over_ssh": "Path is outside the allowed directories: /etc/hostname.",
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path: Path) -> None:
    command = [sys.executable, "-W", "error", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    assert EXPECTED[path.stem] in done.stdout


@pytest.mark.parametrize("path", sorted((ROOT / "examples").rglob("*.py")), ids=lambda p: p.stem)
def test_example_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 60


def test_the_readme_lists_every_example() -> None:
    listed = set(re.findall(r"\]\(examples/([\w.]+)", (ROOT / "README.md").read_text()))
    there = {path.name for path in (ROOT / "examples").iterdir() if path.name != "__pycache__"}
    assert listed == there


class Redirect(AiohttpTransport):
    """Sends every request to one server, whatever provider it is for."""

    def __init__(self, origin: str) -> None:
        super().__init__()
        self.origin = origin

    def post(self, request: HttpRequest) -> AbstractAsyncContextManager[HttpResponse]:
        parts = urlsplit(request.url)
        return super().post(replace(request, url=f"{self.origin}{parts.path}?{parts.query}"))


@pytest.fixture
def scripted_origin() -> Iterator[str]:
    """A scripted server on an event loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = ScriptedServer([faux_message("The answer.")] * 3)
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result()
    yield server.url
    asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def user_models(scripted_origin: str) -> None:
    """For processes that are started: the user's models.json has the scripted server's models."""
    model = {"id": "claude-sonnet-4-5", "api": "anthropic-messages"}
    provider = {"baseUrl": scripted_origin, "apiKey": "key", "models": [model]}
    path = Path.home() / ".pi/agent/models.json"  # HOME is the test's own
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"providers": {"anthropic": provider}}), encoding="utf-8")


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.usefixtures("user_models")
def test_documented_code_runs(
    block: str, scripted_origin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(default_models, "_transport", Redirect(scripted_origin))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "key")
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    monkeypatch.chdir(tmp_path)
    code = compile(block, "<documentation>", "exec", dont_inherit=True)
    exec(code, {"__name__": "documentation"})


@pytest.mark.usefixtures("user_models")
def test_the_example_for_node_runs(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed")
    path = ROOT / "examples/rpc_from_node.mjs"
    command = [node, str(path), "--model", "anthropic/claude-sonnet-4-5"]
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert (done.stdout, done.stderr) == ("The answer.\nexit status: 0\n", "")
    assert len(path.read_text().splitlines()) <= 35
