"""Project trust: the store, what needs it, and who decides. Sdk spec, section 5."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from pi_sdk import SdkError, TrustStore, decide_project_trust
from pi_sdk.trust import has_gated_resources


def store(agent_dir: Path, **decisions: bool | None) -> None:
    (agent_dir / "trust.json").write_text(json.dumps(decisions))


# --- the store --------------------------------------------------------------------------------


def test_the_nearest_decision_counts(agent_dir, tmp_path):
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    decisions = {str(tmp_path): True, str(tmp_path / "a"): False, str(tmp_path / "a" / "b"): None}
    store(agent_dir, **decisions)
    trust = TrustStore(agent_dir)
    assert trust.get(tmp_path) is True
    assert trust.get(deep) is False
    assert trust.get(tmp_path.parent) is None
    assert trust.get(tmp_path / "apart") is True
    assert TrustStore(tmp_path / "no agent").get(deep) is None


def test_a_directory_is_known_under_every_name(agent_dir, project, tmp_path):
    (tmp_path / "link").symlink_to(project)
    store(agent_dir, **{str(project): True})
    assert TrustStore(agent_dir).get(tmp_path / "link" / ".." / "link") is True


def test_decisions_are_written_sorted_with_a_newline(agent_dir, project, tmp_path):
    trust = TrustStore(agent_dir)
    store(agent_dir, **{"/z": True, "/a": None})

    async def scene() -> None:
        await trust.set(tmp_path / "new", False)
        await trust.set(project, True)
        await trust.set(project, None)

    asyncio.run(scene())
    assert trust.path.read_text() == (
        f'{{\n  "/a": null,\n  "{tmp_path}/new": false,\n  "{project}": null,\n  "/z": true\n}}\n'
    )
    assert list(agent_dir.iterdir()) == [trust.path]
    assert repr(trust) == f"<TrustStore {trust.path}>"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "Invalid trust store {path}: expected an object"),
        (
            '{"/x": "yes"}',
            'Invalid trust store {path}: value for "/x" must be true, false, or null',
        ),
        ("{", "Invalid trust store {path}: "),
    ],
)
def test_a_store_that_cannot_be_used_is_an_error_and_stays(agent_dir, project, text, message):
    path = agent_dir / "trust.json"
    path.write_text(text)
    with pytest.raises(SdkError) as raised:
        TrustStore(agent_dir).get(project)
    assert str(raised.value).startswith(message.format(path=path))
    assert path.read_text() == text


def test_a_store_that_cannot_be_read_is_an_error(agent_dir, project):
    (agent_dir / "trust.json").mkdir()
    with pytest.raises(SdkError, match="Failed to read trust store"):
        TrustStore(agent_dir).get(project)


@pytest.mark.parametrize("text", ["[]", "{"])
def test_a_broken_store_is_never_overwritten(agent_dir, project, text):
    path = agent_dir / "trust.json"
    path.write_text(text)
    with pytest.raises(SdkError, match=f"Invalid trust store {path}: "):
        asyncio.run(TrustStore(agent_dir).set(project, True))
    assert path.read_text() == text


# --- what needs it ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "gated"),
    [
        (".pi/settings.json", True),
        (".pi/mcp.json", True),
        (".pi/extensions/x", True),
        (".pi/skills/x", True),
        (".pi/prompts/x", True),
        (".pi/themes/x", True),
        (".pi/SYSTEM.md", True),
        (".pi/APPEND_SYSTEM.md", True),
        (".agents/skills/x", True),
        ("../.agents/skills/x", True),
        ("AGENTS.md", False),
        (".pi/notes.md", False),
        ("../.pi/settings.json", False),
    ],
)
def test_what_needs_trust(project, name, gated):
    file = project / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("")
    assert has_gated_resources(project) is gated


def test_the_users_own_skills_need_none():
    project = Path.home() / "project"
    (Path.home() / ".agents" / "skills").mkdir(parents=True)
    project.mkdir()
    assert not has_gated_resources(project)


# --- who decides ------------------------------------------------------------------------------


@pytest.mark.parametrize("gated", [True, False], ids=["gated", "plain"])
@pytest.mark.parametrize(
    ("decision", "stored", "default", "if_gated", "if_plain"),
    [
        (True, False, "never", True, True),
        (False, True, "always", False, False),
        (None, True, "never", True, True),
        (None, False, "always", False, False),
        (None, None, "always", True, True),
        (None, None, "never", False, True),
        (None, None, "ask", False, True),
    ],
)
def test_who_decides(agent_dir, project, gated, decision, stored, default, if_gated, if_plain):
    if gated:
        (project / ".pi").mkdir()
        (project / ".pi" / "settings.json").write_text("{}")
    store(agent_dir, **{str(project.parent): stored})
    decided = decide_project_trust(project, agent_dir, decision=decision, default=default)
    assert decided is (if_gated if gated else if_plain)
