"""What settings do to an agent, and what the host's own options do to them."""

from __future__ import annotations

import asyncio
import json
import logging
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from pi_agent import AgentTool, ToolResult
from pi_ai import ImageContent, Model, TextContent
from pi_ai.retry import RetryPolicy
from pi_sdk import (
    NoModelError,
    SdkError,
    SessionSettings,
    Settings,
    SettingsManager,
    create_agent,
)
from pi_sdk.settings_effects import (
    request_options,
    session_directory,
    session_settings,
    tool_options,
)
from pi_sdk.settings_types import ImageSettings, ProviderRetrySettings, RetrySettings
from pi_session import CompactionSettings, SessionManager

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5E"
    "rkJggg=="
)


def in_memory(**values: Any) -> SettingsManager:
    return SettingsManager.in_memory(values)


def opened(fake: Any, project: Path, **options: Any) -> Any:
    """`create_agent` in memory, on the fake provider."""
    options.setdefault("session_manager", SessionManager.in_memory(project))
    return create_agent(models=fake.models, **options)


def made(fake: Any, project: Path, **options: Any) -> Any:
    """The session that comes of it, closed again."""

    async def scene() -> Any:
        async with opened(fake, project, **options) as session:
            return session

    async def on_the_server() -> Any:
        async with fake:
            return await scene()

    return asyncio.run(on_the_server())


# --- model and level --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "options", "model", "level"),
    [
        ({}, {}, "m1", "medium"),
        ({"defaultProvider": "fake", "defaultModel": "m2"}, {}, "m2", "off"),
        ({"defaultProvider": "fake", "defaultModel": "gone"}, {}, "m1", "medium"),
        ({"defaultModel": "m2"}, {}, "m1", "medium"),
        ({"defaultProvider": "fake", "defaultModel": "m2"}, {"model": "m1"}, "m1", "medium"),
        ({"defaultThinkingLevel": "high"}, {}, "m1", "high"),
        (
            {"defaultThinkingLevel": "high", "modelThinkingLevels": {"fake/m1": "low"}},
            {},
            "m1",
            "low",
        ),
        ({"modelThinkingLevels": {"fake/m1": "max"}}, {}, "m1", "high"),
        ({"defaultThinkingLevel": "high"}, {"thinking_level": "low"}, "m1", "low"),
        ({"defaultThinkingLevel": "high"}, {"model": "m1:minimal"}, "m1", "minimal"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else None,
)
def test_where_a_new_session_starts(fake, project, values, options, model, level):
    session = made(fake, project, settings=in_memory(**values), **options)
    assert (session.model.id, session.thinking_level) == (model, level)


def test_a_resumed_session_keeps_its_level_or_takes_the_general_one(fake, project):
    async def scene() -> list[str]:
        levels = []
        async with fake:
            manager = SessionManager.in_memory(project)
            async with opened(fake, project, session_manager=manager) as session:
                await session.prompt("hi")
            entries = [entry.raw for entry in manager.get_entries()]
            without = [{**e} for e in entries if e["type"] != "thinking_level_change"]
            for before, after in pairwise(without):
                after["parentId"] = before["id"]
            settings = in_memory(
                defaultThinkingLevel="high", modelThinkingLevels={"fake/m1": "low"}
            )
            for stored in (entries, without):
                manager = SessionManager.in_memory(project, entries=stored)
                async with opened(
                    fake, project, session_manager=manager, settings=settings
                ) as session:
                    levels.append(session.thinking_level)
        return levels

    assert asyncio.run(scene()) == ["medium", "high"]


def test_another_model_gets_its_own_level(fake, project):
    async def scene() -> list[str]:
        settings = in_memory(modelThinkingLevels={"fake/m1": "low"})
        async with fake, opened(fake, project, settings=settings, model="m2") as session:
            levels = [session.thinking_level]
            await session.set_model(fake.models.get_model("fake", "m1"))
            levels.append(session.thinking_level)
            settings.set("defaultThinkingLevel", "high")
            settings.set(("modelThinkingLevels", "fake/m1"), None)
            await session.set_model(fake.models.get_model("fake", "m2"))
            await session.set_model(fake.models.get_model("fake", "m1"))
            return [*levels, session.thinking_level]

    assert asyncio.run(scene()) == ["off", "low", "high"]


def test_sdk_check_29_choosing_a_model_changes_no_file(fake, project, agent_dir):
    keyless = Model(id="m", api="openai-completions", provider="p", base_url="http://p.test/v1")

    async def scene() -> str:
        settings = SettingsManager.create(project, agent_dir)
        async with fake, opened(fake, project, settings=settings) as session:
            with pytest.raises(NoModelError, match=r"^No API key for p/m\n"):
                await session.set_model(keyless)
            await session.set_model(fake.models.get_model("fake", "m2"))
            return session.model.id

    assert asyncio.run(scene()) == "m2"
    assert list(agent_dir.iterdir()) == []


# --- requests and queues ----------------------------------------------------------------------


def test_requests_get_the_limits_of_the_settings():
    assert request_options(Settings(), None) == {
        "idle_timeout_ms": 300_000,
        "max_retry_delay_ms": 60_000,
    }
    settings = SettingsManager.in_memory(
        {
            "retry": {"provider": {"timeoutMs": 5, "maxRetries": 2, "maxRetryDelayMs": 0}},
            "httpIdleTimeoutMs": "disabled",
            "thinkingBudgets": {"low": 100, "high": 900},
        }
    ).current
    expected = {
        "timeout_ms": 5,
        "max_retries": 2,
        "max_retry_delay_ms": 0,
        "idle_timeout_ms": 0,
        "thinking_budgets": {"low": 100, "high": 900},
    }
    assert request_options(settings, None) == expected
    assert request_options(settings, {"max_retries": 0, "api_key": "k"}) == {
        **expected,
        "max_retries": 0,
        "api_key": "k",
    }


def test_requests_are_tried_again_as_often_as_the_settings_say(fake, project, answer):
    async def scene() -> tuple[str, int]:
        fake.answers[:] = [answer(status=503), answer()]
        settings = in_memory(retry={"provider": {"maxRetries": 1, "maxRetryDelayMs": 1}})
        async with fake, opened(fake, project, settings=settings) as session:
            await session.prompt("hi")
            return session.last_assistant_text(), len(fake.bodies)

    assert asyncio.run(scene()) == ("Hello world", 2)


def test_queues_work_in_the_modes_of_the_settings(fake, project):
    session = made(fake, project, settings=in_memory(steeringMode="all"))
    assert session.agent.steering_queue.mode == "all"
    assert session.agent.follow_up_queue.mode == "one-at-a-time"
    session = made(fake, project, settings=in_memory(followUpMode="all"))
    assert session.agent.steering_queue.mode == "one-at-a-time"
    assert session.agent.follow_up_queue.mode == "all"


# --- tools ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "options", "active"),
    [
        (["edit", "read"], {}, ["edit", "read"]),
        ([], {}, []),
        (["-bash", "+powershell"], {}, ["read", "edit", "write"]),
        (["read", "+write", "-read", "+write"], {}, ["write"]),
        (["powershell"], {}, []),
        (["read"], {"tools": ["bash"]}, ["bash"]),
        (["read"], {"tools": ["+bash"]}, ["read", "bash"]),
        (["read", "bash"], {"exclude_tools": ["ba*"]}, ["read"]),
        (["read"], {"no_tools": "builtin"}, []),
    ],
    ids=str,
)
def test_default_tools(fake, project, setting, options, active):
    session = made(fake, project, settings=in_memory(defaultTools=setting), **options)
    assert session.get_active_tool_names() == active


def test_bash_uses_the_shell_and_the_prefix_of_the_settings(fake, project, answer, tmp_path):
    shell = tmp_path / "shell"
    shell.write_text('#!/bin/sh\necho "by our shell"\nexec /bin/sh "$@"\n')
    shell.chmod(0o755)

    async def scene() -> str:
        fake.answers[:] = [answer(pieces=(), calls=[("bash", {"command": "echo $SAID"})]), answer()]
        settings = in_memory(shellPath=str(shell), shellCommandPrefix="SAID=prefix")
        async with fake, opened(fake, project, settings=settings) as session:
            await session.prompt("hi")
            (result,) = [m for m in session.messages if m.role == "toolResult"]
            return result.content[0].text

    assert asyncio.run(scene()).splitlines() == ["by our shell", "prefix"]


def test_the_hosts_tool_options_come_first(tmp_path):
    settings = Settings(
        shell_path="/bin/a", shell_command_prefix="p", images=ImageSettings(auto_resize=False)
    )
    bin_dir = tmp_path / "bin"
    options = tool_options(settings, None, tmp_path)
    assert options["bash"] == {"bin_dir": bin_dir, "shell_path": "/bin/a", "command_prefix": "p"}
    assert options["read"] == {"auto_resize_images": False}
    given = {"bash": {"shell_path": "/bin/b"}, "read": {"auto_resize_images": True}, "write": {}}
    options = tool_options(settings, given, tmp_path)
    assert options["bash"] == {"bin_dir": bin_dir, "shell_path": "/bin/b", "command_prefix": "p"}
    assert (options["read"], options["write"]) == ({"auto_resize_images": True}, {})


def test_retry_settings_are_there_for_who_retries():
    settings = in_memory(retry={"maxRetries": 7, "provider": {"timeoutMs": 1}}).current
    assert settings.retry == RetrySettings(
        max_retries=7, provider=ProviderRetrySettings(timeout_ms=1)
    )


def test_the_transport_of_the_settings_gives_way_to_that_of_the_host():
    settings = in_memory(transport="sse", websocketConnectTimeoutMs=700).current
    told = request_options(settings, None)
    assert (told["transport"], told["websocket_connect_timeout_ms"]) == ("sse", 700)
    assert request_options(settings, {"transport": "websocket"})["transport"] == "websocket"


# --- sessions ---------------------------------------------------------------------------------


def test_settings_of_nobody_are_the_defaults_of_a_session():
    assert session_settings(Settings()) == SessionSettings()


def test_what_sessions_do_by_themselves_comes_from_the_settings():
    settings = in_memory(
        retry={"enabled": False, "maxRetries": 7, "baseDelayMs": 10, "maxAgentDelayMs": 20},
        compaction={
            "enabled": False,
            "reserveTokens": 100,
            "keepRecentTokens": 200,
            "modelOverrides": {"fake/m1": {"keepRecentTokens": 5}},
        },
        branchSummary={"reserveTokens": 300},
        steeringMode="all",
        followUpMode="all",
        defaultThinkingLevel="low",
        modelThinkingLevels={"fake/m1": "high"},
        images={"autoResize": False, "blockImages": True},
        shellPath="/bin/sh",
        shellCommandPrefix="set -e",
    )
    assert session_settings(settings.current) == SessionSettings(
        retry=RetryPolicy(enabled=False, max_retries=7, base_delay_ms=10, max_agent_delay_ms=20),
        compaction=CompactionSettings(enabled=False, reserve_tokens=100, keep_recent_tokens=200),
        compaction_overrides={
            "fake/m1": CompactionSettings(enabled=False, reserve_tokens=100, keep_recent_tokens=5)
        },
        branch_summary_reserve_tokens=300,
        steering_mode="all",
        follow_up_mode="all",
        default_thinking_level="low",
        model_thinking_levels={"fake/m1": "high"},
        auto_resize_images=False,
        block_images=True,
        shell_path="/bin/sh",
        shell_command_prefix="set -e",
    )


def test_session_settings_take_the_place_of_the_settings(fake, project):
    session = made(
        fake,
        project,
        settings=in_memory(steeringMode="all", images={"blockImages": True}),
        session_settings=SessionSettings(follow_up_mode="all"),
    )
    assert (session.steering_mode, session.follow_up_mode) == ("one-at-a-time", "all")
    assert session.session_settings == SessionSettings(follow_up_mode="all")


def test_reloading_reads_settings_and_prompt_files_again(fake, project, agent_dir):
    async def scene() -> Any:
        async with fake, opened(fake, project, agent_dir=agent_dir) as session:
            before = session.system_prompt
            (agent_dir / "settings.json").write_text(
                json.dumps(
                    {
                        "steeringMode": "all",
                        "retry": {"maxRetries": 9},
                        "httpIdleTimeoutMs": 5,
                    }
                )
            )
            (agent_dir / "APPEND_SYSTEM.md").write_text("Be brief.")
            await session.reload()
            assert "Be brief." not in before
            assert "Be brief." in session.system_prompt
            limit = session.agent.stream_options.get("idle_timeout_ms")
            return session.steering_mode, session.session_settings.retry.max_retries, limit

    assert asyncio.run(scene()) == ("all", 9, 5)


def test_reloading_gives_the_tools_the_options_of_now(fake, project, agent_dir, answer):
    file = agent_dir / "settings.json"

    async def scene() -> list[str]:
        call = answer(pieces=(), calls=[("bash", {"command": "echo $SAID"})])
        fake.answers[:] = [call, answer(), call, answer()]
        file.write_text('{"shellCommandPrefix": "SAID=first"}')
        async with fake, opened(fake, project, agent_dir=agent_dir) as session:
            await session.prompt("hi")
            file.write_text('{"shellCommandPrefix": "SAID=second"}')
            await session.reload()
            await session.prompt("again")
            said = [m.content[0].text for m in session.messages if m.role == "toolResult"]
            prompts = [m for m in session.messages if m.role == "system"]
        assert len(prompts) == 1  # the model has nothing to be told
        return said

    assert asyncio.run(scene()) == ["first\n", "second\n"]


@pytest.mark.parametrize(
    ("options", "active"),
    [
        ({}, ["read", "edit", "ls"]),
        ({"tools": ["+find"]}, ["read", "edit", "find", "ls"]),
        ({"tools": ["read", "bash", "edit"]}, ["read", "edit"]),
        ({"exclude_tools": ["ls"]}, ["read", "edit"]),
    ],
    ids=["default", "changed", "named by the host", "excluded"],
)
def test_reloading_adds_tools_that_the_settings_name_anew(
    fake, project, agent_dir, options, active
):
    file = agent_dir / "settings.json"

    async def scene() -> list[str]:
        file.write_text('{"defaultTools": ["read", "bash", "edit"]}')
        async with fake, opened(fake, project, agent_dir=agent_dir, **options) as session:
            kept = [name for name in session.get_active_tool_names() if name != "bash"]
            session.set_active_tools_by_name(kept)
            file.write_text('{"defaultTools": ["read", "bash", "ls"]}')
            await session.reload()
            return session.get_active_tool_names()

    assert asyncio.run(scene()) == active


def test_retries_follow_what_is_set_while_a_prompt_fails(fake, project, recorder, answer):
    """By whoever has the settings; those of a session of one's own are nobody else's."""

    async def scene(**options: Any) -> tuple[list[int], int]:
        fake.answers[:] = [answer(status=503)] * 4
        settings = in_memory(retry={"maxRetries": 3, "baseDelayMs": 1})

        def less(event: Any) -> None:
            if event.type == "auto_retry_start":
                settings.set("retry.maxRetries", 1)

        async with fake, opened(fake, project, settings=settings, **options) as session:
            seen = recorder()
            session.subscribe(seen)
            session.subscribe(less)
            await session.prompt("hi")
        ends = seen.of("auto_retry_end")
        return [end.attempt for end in ends], len(seen.of("auto_retry_start"))

    assert asyncio.run(scene()) == ([1], 1)
    fixed = SessionSettings(retry=RetryPolicy(max_retries=3, base_delay_ms=1))
    assert asyncio.run(scene(session_settings=fixed)) == ([3], 3)


@pytest.mark.parametrize("off", [False, True], ids=["left on", "turned off in the run"])
def test_compaction_follows_what_is_set_during_a_run(fake, project, recorder, answer, off):
    settings = in_memory(compaction={"reserveTokens": 1000, "keepRecentTokens": 250})
    long = "All of it matters. " * 40

    async def turn_off(_arguments: Any, _context: Any) -> ToolResult:
        settings.set("compaction.enabled", not off)
        return ToolResult([TextContent(long)])

    look = AgentTool(name="look", description="Looks.", parameters={}, execute=turn_off)

    async def scene() -> list[str]:
        fake.answers[:] = [answer((long,)), answer((), [("look", {})], prompt_tokens=9500)]
        async with fake:
            model = replace(fake.models.get_model("fake", "m1"), context_window=10_000)
            options = {"model": model, "settings": settings, "custom_tools": [look]}
            async with opened(fake, project, **options) as session:
                await session.prompt("a" + long)
                seen = recorder()
                session.subscribe(seen)
                await session.prompt("b" + long)
                return [kind for kind in seen.types if kind.startswith("compaction")]

    found = asyncio.run(scene())
    assert found == ([] if off else ["compaction_start", "compaction_end"])


# --- images -----------------------------------------------------------------------------------


def test_sdk_check_43_blocked_images_become_one_text(fake, project):
    async def scene() -> list[Any]:
        settings = in_memory(images={"blockImages": True})
        async with fake, opened(fake, project, settings=settings) as session:
            images = [ImageContent(PNG, "image/png"), ImageContent(PNG, "image/png")]
            await session.prompt("look", images=images)
            stored = next(m for m in session.messages if m.role == "user").content
            settings.set("images.blockImages", False)
            await session.prompt("again")
            return stored

    stored = asyncio.run(scene())
    assert [block.type for block in stored] == ["text", "image", "image"]
    first, second = (next(m for m in b["messages"] if m["role"] == "user") for b in fake.bodies)
    shown = json.dumps(first["content"])
    assert PNG not in shown
    assert shown.index("look") < shown.index("Image reading is disabled.")
    assert shown.count("Image reading is disabled.") == 1
    assert "Image reading is disabled." not in json.dumps(second)


# --- places -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "directory"),
    [("/there", "/there"), ("below", "{cwd}/below"), ("~/mine", "{home}/mine"), ("", None)],
)
def test_where_sessions_are(project, setting, directory):
    told = directory and Path(directory.format(cwd=project, home=Path.home()))
    assert session_directory(Settings(session_dir=setting), project) == told


def test_the_session_file_is_where_the_settings_say(fake, project, tmp_path):
    session = made(
        fake,
        project,
        cwd=project,
        session_manager=None,
        agent_dir=tmp_path / "agent",
        settings=in_memory(sessionDir=str(tmp_path / "kept")),
    )
    assert session.session_file.parent == tmp_path / "kept"


# --- files and trust --------------------------------------------------------------------------


@pytest.mark.parametrize("trusted", [False, True])
def test_sdk_check_36_a_projects_settings_count_if_it_is_trusted(fake, project, agent_dir, trusted):
    (project / ".pi").mkdir()
    (project / ".pi" / "settings.json").write_text('{"defaultThinkingLevel": "high"}')
    (project / ".pi" / "SYSTEM.md").write_text("The project's.")
    (project / ".pi" / "APPEND_SYSTEM.md").write_text("The project's end.")
    (project / "AGENTS.md").write_text("Say hi.")
    (agent_dir / "SYSTEM.md").write_text("The user's.")
    (agent_dir / "APPEND_SYSTEM.md").write_text("The user's end.")
    session = made(fake, project, cwd=project, agent_dir=agent_dir, project_trusted=trusted)
    assert session.settings.project_trusted is trusted
    assert session.thinking_level == ("high" if trusted else "medium")
    whose = "The project's" if trusted else "The user's"
    start = f"{whose}.\n\n<addendum>\n{whose} end.\n</addendum>\n\n"
    assert session.system_prompt.startswith(start)
    assert "Say hi." in session.system_prompt


def test_a_trusted_project_without_prompt_files_leaves_the_users(fake, project, agent_dir):
    (agent_dir / "SYSTEM.md").write_text("The user's.")
    session = made(fake, project, cwd=project, agent_dir=agent_dir, project_trusted=True)
    assert session.system_prompt.startswith("The user's.\n\n")


def test_a_bad_setting_is_a_warning_and_no_more(fake, project, agent_dir, caplog):
    (agent_dir / "settings.json").write_text('{"transport": 5}')
    with caplog.at_level(logging.WARNING, "pi_sdk"):
        session = made(fake, project, agent_dir=agent_dir)
    assert session.settings.current == Settings()
    (record,) = caplog.records
    assert record.getMessage().endswith("found 5. It is ignored.")


def test_settings_that_were_passed_decide_about_trust(fake, project):
    with pytest.raises(SdkError, match="project_trusted: the settings that were passed decide"):
        made(fake, project, settings=in_memory(), project_trusted=True)


def test_a_session_that_closes_writes_its_settings(fake, project, agent_dir, caplog):
    settings = SettingsManager.create(project, agent_dir)

    async def scene() -> None:
        async with fake, opened(fake, project, settings=settings):
            settings.set("steeringMode", "all")

    asyncio.run(scene())
    file = agent_dir / "settings.json"
    assert json.loads(file.read_text()) == {"steeringMode": "all"}
    file.write_text("{")
    settings.set("steeringMode", "one-at-a-time")
    with caplog.at_level(logging.WARNING, "pi_sdk"):
        asyncio.run(scene())
    assert "Could not write settings file" in caplog.text
