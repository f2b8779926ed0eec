"""The id of the installation, and the login that tells it. Auth spec, sections 2.3 and 3.5."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import uuid
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from msgspec.structs import replace

import pi_ai.http.client  # noqa: F401  # loaded now, so that no test's clock counts it
from pi_ai import CallbackInteraction, LoginOptions, OAuthError
from pi_ai.auth.types import AuthUrlEvent
from pi_ai.testing import LoginServer
from pi_sdk import SdkError, SettingsManager, create_agent, stored_device_id
from pi_session import SessionManager

KNOWN = "0A1B2C3D-0000-4000-8000-00000000ABCD"


def stored(agent_dir: Path) -> str:
    return asyncio.run(stored_device_id(agent_dir))


def test_the_id_is_made_once_and_stays(tmp_path: Path) -> None:
    agent_dir = tmp_path / "new"
    made = stored(agent_dir)
    assert uuid.UUID(made).version == 4
    assert (agent_dir / "settings.json").read_text() == f'{{\n  "deviceId": "{made}"\n}}'
    assert agent_dir.stat().st_mode & 0o777 == 0o700
    assert stored(agent_dir) == made
    assert not (agent_dir / "settings.json.lock").exists()


def test_the_id_that_upstream_made_is_used_as_it_is(agent_dir: Path) -> None:
    path = agent_dir / "settings.json"
    path.write_text(json.dumps({"theme": "dark", "deviceId": KNOWN}))
    before = path.read_bytes()
    assert stored(agent_dir) == KNOWN
    assert path.read_bytes() == before


@pytest.mark.parametrize("told", [None, "", "mine", 7])
def test_what_is_no_id_is_replaced_and_all_else_kept(agent_dir: Path, told: object) -> None:
    path = agent_dir / "settings.json"
    path.write_text(json.dumps({"deviceId": told, "unknown": {"x": [1]}, "theme": "dark"}))
    made = stored(agent_dir)
    assert json.loads(path.read_text()) == {
        "deviceId": made,
        "unknown": {"x": [1]},
        "theme": "dark",
    }


def test_settings_that_are_changed_elsewhere_keep_the_id(agent_dir: Path) -> None:
    async def run() -> str:
        settings = SettingsManager.create(agent_dir, agent_dir)
        made = await stored_device_id(agent_dir)
        settings.set("compaction.enabled", False)
        assert await settings.flush() == []
        return made

    assert asyncio.run(run()) == stored(agent_dir)


def test_a_broken_file_is_named_and_left_alone(agent_dir: Path) -> None:
    path = agent_dir / "settings.json"
    path.write_text("{broken")
    with pytest.raises(SdkError, match=r"^Could not keep a device ID in .*settings\.json: "):
        stored(agent_dir)
    assert path.read_text() == "{broken"


def test_processes_that_start_together_agree(agent_dir: Path) -> None:
    code = (
        "import asyncio, sys\nfrom pi_sdk import stored_device_id\n"
        "print(asyncio.run(stored_device_id(sys.argv[1])))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(agent_dir)], stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    printed = {process.communicate()[0].strip().decode() for process in started}
    assert printed == {stored(agent_dir)}


async def log_in(agent_dir: Path, **options: str) -> str:
    """Log an agent in to ChatGPT; gives the id that the provider was told."""
    seen: list[str] = []
    async with LoginServer() as server, asyncio.TaskGroup() as browser:
        manager = SessionManager.in_memory(agent_dir)
        async with create_agent(
            agent_dir=agent_dir, session_manager=manager, model="openai/gpt-5.5"
        ) as agent:
            row = agent.models.get_provider("openai")
            assert row is not None
            agent.models.set_provider(replace(row, oauth=server.chatgpt()))

            def visit(event: AuthUrlEvent) -> None:
                seen.append(event.url)
                browser.create_task(server.visit(seen[0]))

            given = {name: (lambda told=told: told) for name, told in options.items()}
            host = CallbackInteraction(on_auth=visit)
            await agent.models.credentials.login("openai", "oauth", host, LoginOptions(**given))
    [told] = parse_qs(urlsplit(seen[0]).query)["ext_agent_host_id"]
    return told


def test_an_agent_signs_in_with_chatgpt_without_being_told_an_id(agent_dir: Path) -> None:
    told = asyncio.run(log_in(agent_dir))
    assert told == f"urn:uuid:{stored(agent_dir)}"
    assert list(json.loads((agent_dir / "auth.json").read_text())) == ["openai"]


def test_an_id_of_the_login_goes_before_the_stored_one(agent_dir: Path) -> None:
    told = asyncio.run(log_in(agent_dir, get_device_id=KNOWN))
    assert told == f"urn:uuid:{KNOWN.lower()}"
    assert not (agent_dir / "settings.json").exists()


def test_a_stored_id_that_cannot_be_had_ends_the_login(agent_dir: Path) -> None:
    (agent_dir / "settings.json").write_text("[]")
    with pytest.raises(BaseExceptionGroup) as raised:
        asyncio.run(log_in(agent_dir))
    assert raised.group_contains(SdkError, match="Could not keep a device ID")
    assert not raised.group_contains(OAuthError)
