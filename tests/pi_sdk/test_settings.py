"""Settings in files: layers, changes, the lock, and what goes wrong."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pi_ai.dirlock import directory_lock, lock_path
from pi_sdk import SdkError, Settings, SettingsManager

CHANGE = """
import asyncio, sys
from pi_sdk import SettingsManager

async def main():
    settings = SettingsManager.create(agent_dir=sys.argv[1])
    for number in range(10):
        settings.set(("modelThinkingLevels", f"{sys.argv[2]}/{number}"), "high")
        while await settings.flush():
            pass

asyncio.run(main())
"""


@pytest.fixture
def user_file(agent_dir: Path) -> Path:
    return agent_dir / "settings.json"


@pytest.fixture
def project_file(project: Path) -> Path:
    (project / ".pi").mkdir()
    return project / ".pi" / "settings.json"


def write(file: Path, value: Any) -> None:
    file.write_text(json.dumps(value, indent=2), encoding="utf-8")


def change(settings: SettingsManager, *changes: tuple[Any, Any]) -> list[str]:
    """Set and flush; gives what went wrong."""

    async def scene() -> list[str]:
        for key, value in changes:
            settings.set(key, value)
        return [str(problem) for problem in await settings.flush()]

    return asyncio.run(scene())


# --- layers -----------------------------------------------------------------------------------


def test_without_files_there_are_the_defaults_and_no_files(agent_dir, project):
    settings = SettingsManager.create(project, agent_dir, project_trusted=True)
    assert settings.current == Settings()
    assert settings.drain_errors() == []
    assert list(agent_dir.iterdir()) == list(project.iterdir()) == []


def test_a_trusted_project_wins_over_the_user(agent_dir, project, user_file, project_file):
    write(user_file, {"transport": "sse", "retry": {"maxRetries": 1, "baseDelayMs": 5}})
    write(project_file, {"retry": {"baseDelayMs": 7}, "shellPath": "/bin/zsh"})
    settings = SettingsManager.create(project, agent_dir, project_trusted=True).current
    assert settings.transport == "sse"
    assert (settings.retry.max_retries, settings.retry.base_delay_ms) == (1, 7)
    assert settings.shell_path == "/bin/zsh"


def test_sdk_check_36_an_untrusted_projects_settings_are_not_read(agent_dir, project, project_file):
    project_file.write_text('{"shellPath": "/tmp/evil"')
    settings = SettingsManager.create(project, agent_dir)
    assert settings.current == Settings()
    assert not settings.project_trusted
    assert settings.drain_errors() == []
    assert settings.layer("project") == {}


def test_a_bad_value_of_the_project_leaves_the_users(agent_dir, project, user_file, project_file):
    write(user_file, {"steeringMode": "all"})
    write(project_file, {"steeringMode": "some", "httpProxy": "http://p"})
    settings = SettingsManager.create(project, agent_dir, project_trusted=True)
    assert settings.current.steering_mode == "all"
    problems = settings.drain_errors()
    assert [(problem.scope, problem.path) for problem in problems] == [
        ("project", project_file),
        ("project", project_file),
    ]
    assert [str(problem) for problem in problems] == [
        f"Invalid setting in {project_file}: httpProxy: only the user's own settings may say this. "
        "It is ignored.",
        f"Invalid setting in {project_file}: steeringMode: expected one of all, one-at-a-time, "
        'found "some". It is ignored.',
    ]
    assert settings.drain_errors() == []


def test_overrides_are_on_top_until_the_files_are_read_again(agent_dir, project, user_file):
    write(user_file, {"compaction": {"reserveTokens": 5}})
    settings = SettingsManager.create(project, agent_dir)
    settings.apply_overrides({"compaction": {"enabled": False}, "theme": "dark"})
    settings.apply_overrides({"transport": "sse"})
    assert settings.current.compaction.enabled is False
    assert settings.current.compaction.reserve_tokens == 5
    assert settings.current.transport == "sse"
    settings.reload()
    assert settings.current.compaction.enabled is True
    assert json.loads(user_file.read_text()) == {"compaction": {"reserveTokens": 5}}


def test_reload_sees_what_others_wrote_and_keeps_what_is_not_written(agent_dir, user_file):
    settings = SettingsManager.create(agent_dir=agent_dir)
    settings.set("transport", "sse")
    write(user_file, {"transport": "websocket", "defaultModel": "m"})
    assert settings.current.default_model is None
    settings.reload()
    assert (settings.current.transport, settings.current.default_model) == ("sse", "m")


@pytest.mark.parametrize("text", ["", " \n", "\ufeff{}", '\ufeff{"transport": "auto"}'])
def test_an_empty_file_and_a_byte_order_mark_are_fine(agent_dir, user_file, text):
    user_file.write_text(text, encoding="utf-8")
    settings = SettingsManager.create(agent_dir=agent_dir)
    assert settings.current == Settings()
    assert settings.drain_errors() == []


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda file: file.write_text("{bad"), ""),
        (lambda file: file.write_text("[]"), "expected an object"),
        (lambda file: file.write_text("null"), "expected an object"),
        (lambda file: file.write_text('{"a": NaN}'), ""),
        (lambda file: file.mkdir(), "[Errno 21]"),
    ],
    ids=["no JSON", "a list", "null", "NaN", "a directory"],
)
def test_a_file_that_cannot_be_used_counts_as_empty_and_is_named(
    agent_dir, user_file, make, reason
):
    make(user_file)
    settings = SettingsManager.create(agent_dir=agent_dir)
    assert settings.current == Settings()
    (problem,) = settings.drain_errors()
    assert str(problem).startswith(f"Invalid settings file {user_file}: {reason}")


def test_a_file_that_is_being_written_in_place_is_waited_for(agent_dir, user_file):
    user_file.write_text('{"transport": "s')
    lock = lock_path(user_file)
    lock.mkdir()
    writer = (
        "import pathlib, sys, time; time.sleep(0.05); file = pathlib.Path(sys.argv[1]);"
        'file.write_text(\'{"transport": "sse"}\'); pathlib.Path(sys.argv[2]).rmdir()'
    )
    with subprocess.Popen([sys.executable, "-c", writer, str(user_file), str(lock)]):
        settings = SettingsManager.create(agent_dir=agent_dir)
        for _ in range(20):  # a slow machine starts the writer late
            if settings.current.transport == "sse":
                break
            settings.reload()
    assert settings.current.transport == "sse"


# --- changing ---------------------------------------------------------------------------------


def test_a_change_counts_at_once_and_is_in_the_file_after_the_flush(agent_dir, user_file):
    settings = SettingsManager.create(agent_dir=agent_dir)
    before = settings.current
    settings.set("steeringMode", "all")
    assert (before.steering_mode, settings.current.steering_mode) == ("one-at-a-time", "all")
    assert not user_file.exists()
    assert change(settings) == []
    assert user_file.read_bytes() == b'{\n  "steeringMode": "all"\n}'
    assert not lock_path(user_file).exists()


def test_sdk_check_30_only_what_was_set_changes_in_the_file(agent_dir, user_file):
    user_file.write_text('{"a":1,"compaction":{"x":2,"enabled":true},"z":[1.50,"\\ud800"]}')
    settings = SettingsManager.create(agent_dir=agent_dir)
    assert change(settings, ("compaction.enabled", False)) == []
    assert user_file.read_text() == (
        '{\n  "a": 1,\n  "compaction": {\n    "x": 2,\n    "enabled": false\n  },\n'
        '  "z": [\n    1.5,\n    "\\ud800"\n  ]\n}'
    )


def test_what_others_wrote_in_the_meantime_stays(agent_dir, user_file):
    settings = SettingsManager.create(agent_dir=agent_dir)
    write(user_file, {"theme": "dark", "steeringMode": "all", "images": {"autoResize": False}})
    assert change(settings, ("transport", "sse"), ("images.blockImages", True)) == []
    assert json.loads(user_file.read_text()) == {
        "theme": "dark",
        "steeringMode": "all",
        "images": {"autoResize": False, "blockImages": True},
        "transport": "sse",
    }


def test_an_object_is_merged_and_none_removes(agent_dir, user_file):
    write(user_file, {"retry": {"own": 1, "maxRetries": 2}, "defaultModel": "m", "shellPath": "x"})
    settings = SettingsManager.create(agent_dir=agent_dir)
    assert (
        change(
            settings,
            ("retry", {"maxRetries": 5, "provider": {"maxRetries": 1}}),
            (("modelThinkingLevels", "a/b-1.5"), "high"),
            ("defaultModel", None),
            ("thinkingBudgets.low", None),
            ("shellPath", None),
            ("shellPath", "y"),
        )
        == []
    )
    assert json.loads(user_file.read_text()) == {
        "retry": {"own": 1, "maxRetries": 5, "provider": {"maxRetries": 1}},
        "shellPath": "y",
        "modelThinkingLevels": {"a/b-1.5": "high"},
    }
    assert settings.current.default_model is None


def test_a_projects_value_keeps_winning(agent_dir, project, user_file, project_file):
    write(project_file, {"compaction": {"enabled": False}})
    settings = SettingsManager.create(project, agent_dir, project_trusted=True)
    settings.set("compaction.enabled", True)
    assert settings.current.compaction.enabled is False
    settings.set("compaction.enabled", True, scope="project")
    assert settings.current.compaction.enabled is True
    assert change(settings) == []
    for file in (user_file, project_file):
        assert json.loads(file.read_text()) == {"compaction": {"enabled": True}}


@pytest.mark.parametrize(
    ("key", "value", "scope", "message"),
    [
        ("theme", "x", "global", "Invalid setting: theme: no such setting"),
        ("transport", "x", "global", "Invalid setting: transport: expected one of auto, sse"),
        ("retry", {"x": 1, "maxRetries": -1}, "global", "Invalid setting: retry.maxRetries: exp"),
        ("httpProxy", "x", "project", "Invalid setting: httpProxy: only the user's own settings"),
        (
            "transport",
            "sse",
            "project",
            "Project is not trusted; refusing to write project settings",
        ),
    ],
)
def test_what_cannot_be_set_is_refused(agent_dir, project, key, value, scope, message):
    settings = SettingsManager.create(project, agent_dir)
    with pytest.raises(SdkError) as raised:
        settings.set(key, value, scope=scope)
    assert str(raised.value).startswith(message)
    assert settings.current == Settings()
    assert change(settings) == []
    assert list(agent_dir.iterdir()) == list(project.iterdir()) == []


def test_new_directories_are_the_users_alone(tmp_path):
    settings = SettingsManager.create(agent_dir=tmp_path / "home" / ".pi" / "agent")
    assert change(settings, ("transport", "sse")) == []
    for directory in ("home", "home/.pi", "home/.pi/agent"):
        assert stat.S_IMODE((tmp_path / directory).stat().st_mode) == 0o700


def test_mode_and_link_are_kept(agent_dir, user_file, tmp_path):
    dotfile = tmp_path / "dotfile.json"
    write(dotfile, {})
    dotfile.chmod(0o640)
    user_file.symlink_to(dotfile)
    settings = SettingsManager.create(agent_dir=agent_dir)
    assert change(settings, ("transport", "sse")) == []
    assert user_file.is_symlink()
    assert json.loads(dotfile.read_text()) == {"transport": "sse"}
    assert stat.S_IMODE(dotfile.stat().st_mode) == 0o640


def test_without_persist_no_file_is_written(agent_dir, user_file):
    settings = SettingsManager.create(agent_dir=agent_dir, persist=False)
    assert change(settings, ("transport", "sse")) == []
    settings.reload()
    assert settings.current.transport == "sse"
    assert not user_file.exists()


def test_settings_in_memory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = SettingsManager.in_memory({"transport": "sse", "theme": "dark"})
    assert change(settings, ("steeringMode", "all")) == []
    settings.reload()
    assert settings.current == Settings(transport="sse", steering_mode="all")
    assert repr(settings) == "<SettingsManager in memory>"
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SdkError, match="Invalid settings: retry: expected an object, found 1"):
        SettingsManager.in_memory({"retry": 1})
    with pytest.raises(SdkError, match="Invalid overrides: retry: expected an object, found 1"):
        settings.apply_overrides({"retry": 1})


def test_a_layer_that_is_handed_out_is_a_copy(agent_dir, user_file):
    write(user_file, {"theme": {"name": "dark"}})
    settings = SettingsManager.create(agent_dir=agent_dir)
    settings.layer("global")["theme"]["name"] = "light"
    assert settings.layer("global") == {"theme": {"name": "dark"}}


# --- writes that fail -------------------------------------------------------------------------


def test_sdk_check_31_a_broken_file_is_never_overwritten(agent_dir, user_file):
    user_file.write_text('{"steeringMode": ')
    settings = SettingsManager.create(agent_dir=agent_dir)
    assert len(settings.drain_errors()) == 1
    (told,) = change(settings, ("transport", "sse"))
    assert told.startswith(f"Could not write settings file {user_file}: ")
    assert settings.current.transport == "sse"
    assert [str(problem) for problem in settings.drain_errors()] == [told]
    assert user_file.read_text() == '{"steeringMode": '
    user_file.write_text('{"steeringMode": "all"}')
    assert change(settings) == []
    assert json.loads(user_file.read_text()) == {"steeringMode": "all", "transport": "sse"}


def test_sdk_check_32_a_held_lock_delays_the_write(agent_dir, user_file):
    lock = lock_path(user_file)
    lock.mkdir()
    settings = SettingsManager.create(agent_dir=agent_dir)
    (told,) = change(settings, ("steeringMode", "all"))
    assert "Lock file is already being held" in told
    assert settings.current.steering_mode == "all"
    assert not user_file.exists()
    lock.rmdir()
    assert change(settings, ("followUpMode", "all")) == []
    assert json.loads(user_file.read_text()) == {"steeringMode": "all", "followUpMode": "all"}


def test_a_dead_programs_lock_does_not_delay_it(agent_dir, user_file):
    lock = lock_path(user_file)
    lock.mkdir()
    os.utime(lock, (time.time() - 11, time.time() - 11))
    settings = SettingsManager.create(agent_dir=agent_dir)
    assert change(settings, ("steeringMode", "all")) == []
    assert user_file.exists()


def test_a_change_during_a_flush_goes_out_with_the_next(agent_dir, user_file):
    async def scene() -> None:
        settings = SettingsManager.create(agent_dir=agent_dir)
        settings.set("steeringMode", "all")
        settings.set("transport", "sse")
        async with directory_lock(user_file):
            flushing = asyncio.create_task(settings.flush())
            await asyncio.sleep(0)
            settings.set("transport", "websocket")
        assert await flushing == []
        assert json.loads(user_file.read_text()) == {"steeringMode": "all", "transport": "sse"}
        write(user_file, {"transport": "sse"})
        assert await settings.flush() == []
        assert json.loads(user_file.read_text()) == {"transport": "websocket"}

    asyncio.run(scene())


def test_processes_that_change_one_file_lose_nothing(agent_dir, user_file):
    workers = [
        subprocess.Popen([sys.executable, "-c", CHANGE, str(agent_dir), name]) for name in "abc"
    ]
    try:
        assert [worker.wait(timeout=15) for worker in workers] == [0, 0, 0]
    finally:
        for worker in workers:
            worker.kill()
    levels = json.loads(user_file.read_text())["modelThinkingLevels"]
    assert sorted(levels) == [f"{name}/{number}" for name in "abc" for number in range(10)]
    assert list(agent_dir.iterdir()) == [user_file]
