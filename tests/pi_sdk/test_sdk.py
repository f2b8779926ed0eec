"""create_agent: from options to a session, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from pi_ai import Models, ToolResultMessage
from pi_ai.testing import FauxProvider, faux_message, faux_tool_call
from pi_ai.transcript import content_text
from pi_sdk import ModelChoiceError, SdkError, SessionCwdError, create_agent
from pi_session import SessionFormatError, SessionLockedError, SessionManager
from pi_tools import confined_to, over_prefix
from support.places import in_root


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def create(**options: Any) -> Any:
    """The session that create_agent makes, closed again."""

    async def main():
        async with create_agent(**options) as session:
            return session

    return asyncio.run(main())


def test_sdk_check_01_a_new_session_in_memory(fake, project):
    async def main():
        manager = SessionManager.in_memory(project)
        async with (
            fake,
            create_agent(cwd=project, models=fake.models, session_manager=manager) as session,
        ):
            kinds = [entry.type for entry in manager.get_entries()]
            return session, session.get_active_tool_names(), kinds, session.is_idle

    session, tools, kinds, idle = asyncio.run(main())
    assert session.model.id == "m1"
    assert session.thinking_level == "medium"
    assert tools == ["read", "bash", "edit", "write"]
    assert kinds == ["model_change", "thinking_level_change"]
    assert idle
    assert session.session_file is None


def test_sdk_check_02_the_file_comes_with_the_first_messages(fake, project, agent_dir):
    async def main():
        async with (
            fake,
            create_agent(cwd=project, agent_dir=agent_dir, models=fake.models) as session,
        ):
            before = session.session_file.exists()
            await session.prompt("hi")
            return session.session_file, before

    path, before = asyncio.run(main())
    assert not before
    assert agent_dir in path.parents
    kinds = [(line["type"], line.get("message", {}).get("role")) for line in lines(path)]
    assert kinds == [
        ("session", None),
        ("model_change", None),
        ("thinking_level_change", None),
        ("message", "system"),
        ("message", "user"),
        ("message", "assistant"),
    ]


def test_a_resumed_session_goes_on_where_it_was(fake, project, agent_dir):
    async def main():
        options = {"cwd": project, "agent_dir": agent_dir, "models": None}
        async with fake:
            options["models"] = fake.models
            async with create_agent(model="m2", **options) as session:
                await session.prompt("one")
                path = session.session_file
            count = len(lines(path))
            manager = SessionManager.open(path)
            async with create_agent(session_manager=manager, **options) as session:
                resumed = session.model.id, session.thinking_level, session.last_assistant_text()
                after = len(lines(path))
                await session.prompt("two")
            return resumed, after - count, [m["role"] for m in fake.bodies[-1]["messages"]]

    resumed, added, roles = asyncio.run(main())
    assert resumed == ("m2", "off", "Hello world")
    assert added == 0
    assert roles[1:] == ["user", "assistant", "user"]


def test_another_model_for_a_resumed_session_adds_no_entry(fake, project, tmp_path):
    async def main():
        async with fake:
            manager = SessionManager.create(project, tmp_path / "sessions")
            async with create_agent(models=fake.models, session_manager=manager) as session:
                await session.prompt("one")
                path = session.session_file
            before = path.read_bytes()
            manager = SessionManager.open(path)
            async with create_agent(
                models=fake.models, session_manager=manager, model="m2"
            ) as session:
                return session.model.id, path.read_bytes() == before

    assert asyncio.run(main()) == ("m2", True)


def recorded_with(path: Path, provider: str, model_id: str) -> None:
    """Let a session file say that another model answered."""
    changed = path.read_text().replace('"fake"', f'"{provider}"').replace('"m1"', f'"{model_id}"')
    path.write_text(changed)


@pytest.mark.parametrize(("provider", "model_id"), [("p", "m"), ("fake", "gone"), ("p", "m1")])
def test_sdk_check_50_a_recorded_model_that_is_gone_is_replaced_and_named(
    fake, project, tmp_path, provider, model_id
):
    async def main():
        async with fake:
            options = {"cwd": project, "models": fake.models}
            manager = SessionManager.create(project, tmp_path / "sessions")
            async with create_agent(**options, session_manager=manager) as session:
                await session.prompt("one")
                path = session.session_file
                assert session.model_fallback_message is None
            recorded_with(path, provider, model_id)
            manager = SessionManager.open(path)
            async with create_agent(**options, session_manager=manager) as session:
                message = await session.prompt("two")
                return session.model_fallback_message, session.model.id, message.text

    told, model, text = asyncio.run(main())
    assert told == f"Could not restore model {provider}/{model_id}. Using fake/m1"
    assert (model, text) == ("m1", "Hello world")


def test_a_recorded_model_that_is_gone_and_no_other_one(fake, project, tmp_path):
    async def main():
        async with fake:
            manager = SessionManager.create(project, tmp_path / "sessions")
            async with create_agent(models=fake.models, session_manager=manager) as session:
                await session.prompt("one")
        manager = SessionManager.open(session.session_file)
        async with create_agent(models=Models(()), session_manager=manager) as session:
            return session.model, session.thinking_level, session.model_fallback_message

    model, level, told = asyncio.run(main())
    assert (model, level) == (None, "off")
    assert told.splitlines()[0] == "No models available."


@pytest.mark.parametrize(
    ("options", "level"),
    [
        ({}, "medium"),
        ({"thinking_level": "max"}, "high"),
        ({"model": "m1:low"}, "low"),
        ({"model": "m1:low", "thinking_level": "minimal"}, "minimal"),
        ({"model": "m2", "thinking_level": "high"}, "off"),
    ],
    ids=["default", "clamped", "in the reference", "option wins", "model that cannot think"],
)
def test_the_thinking_level_fits_the_model(fake, project, options, level):
    async def main():
        manager = SessionManager.in_memory(project)
        async with (
            fake,
            create_agent(models=fake.models, session_manager=manager, **options) as session,
        ):
            return session.thinking_level

    assert asyncio.run(main()) == level


def test_it_can_be_awaited(fake, project):
    async def main():
        async with fake:
            session = await create_agent(
                models=fake.models, session_manager=SessionManager.in_memory(project)
            )
            await session.aclose()
            await session.aclose()
            return repr(session)

    assert "fake/m1, closed" in asyncio.run(main())


def test_sdk_check_34_prompt_files_replace_and_extend_the_prompt(fake, project, agent_dir):
    (agent_dir / "SYSTEM.md").write_text("My system")
    (agent_dir / "APPEND_SYSTEM.md").write_text("appended")

    async def main():
        async with (
            fake,
            create_agent(cwd=project, agent_dir=agent_dir, models=fake.models) as session,
        ):
            await session.prompt("hi")
            (system,) = [m for m in session.messages if m.role == "system"]
            return session.system_prompt, list(system.sections), system.tools_added

    prompt, sections, tools = asyncio.run(main())
    assert sections == ["preamble", "addendum", "cwd"]
    assert prompt == (f"My system\n\n<addendum>\nappended\n</addendum>\n\n<cwd>\n{project}\n</cwd>")
    assert fake.bodies[0]["messages"][0]["content"] == prompt
    assert [tool.name for tool in tools] == ["read", "bash", "edit", "write"]


def test_options_win_over_prompt_files(fake, project, agent_dir):
    (agent_dir / "SYSTEM.md").write_text("My system")
    (agent_dir / "APPEND_SYSTEM.md").write_text("appended")

    async def main():
        async with (
            fake,
            create_agent(
                cwd=project,
                agent_dir=agent_dir,
                models=fake.models,
                system_prompt="Told",
                append_system_prompt=["a", "b"],
            ) as session,
        ):
            return session.system_prompt

    assert asyncio.run(main()).startswith("Told\n\n<addendum>\na\n\nb\n</addendum>\n\n<cwd>")


def test_sdk_check_35_a_changed_context_file_is_told_on_resume(fake, project, agent_dir):
    (project / "AGENTS.md").write_text("Say hi.")

    async def main():
        async with fake:
            options = {"cwd": project, "agent_dir": agent_dir, "models": fake.models}
            async with create_agent(**options) as session:
                await session.prompt("one")
                path = session.session_file
            (project / "AGENTS.md").write_text("Say bye.")
            manager = SessionManager.open(path)
            async with create_agent(session_manager=manager, **options) as session:
                await session.prompt("two")
                return [m for m in session.messages if m.role == "system"]

    first, second = asyncio.run(main())
    assert "project_context" in first.sections
    assert list(second.sections) == ["project_context"]
    assert "Say bye." in second.sections["project_context"]
    assert second.content == ""
    assert second.tools_added is None


# --- models.json ------------------------------------------------------------------------------


def test_models_of_the_users_file_are_there_without_a_word(fake, project, agent_dir, write_models):
    async def main():
        async with fake:
            write_models({"fake": fake.config()})
            async with create_agent(cwd=project, agent_dir=agent_dir) as session:
                message = await session.prompt("hi")
                return session.model, message

    model, message = asyncio.run(main())
    assert (model.provider, model.id, model.name) == ("fake", "m1", "Model One")
    assert (message.text, message.provider) == ("Hello world", "fake")
    assert message.usage.cost.total == pytest.approx(100 / 1e6 + 20 / 1e6)


def test_a_bad_file_is_a_warning_and_no_more(project, agent_dir, write_models, caplog):
    path = write_models("{")
    with caplog.at_level(logging.WARNING, "pi_sdk"):
        session = create(
            cwd=project, agent_dir=agent_dir, session_manager=SessionManager.in_memory(project)
        )
    assert session.model is None
    (record,) = caplog.records
    assert record.getMessage().startswith("Failed to parse models.json: ")
    assert record.getMessage().endswith(f"\n\nFile: {path}")


def test_a_collection_of_ones_own_is_used_as_it_is(fake, project, agent_dir, write_models, caplog):
    write_models("{")
    models = Models(())
    session = create(
        cwd=project,
        agent_dir=agent_dir,
        models=models,
        session_manager=SessionManager.in_memory(project),
    )
    assert session.models is models
    assert caplog.records == []


# --- bad input: one clear line each -------------------------------------------------------------


def test_an_unknown_model_lists_near_matches(project):
    with pytest.raises(ModelChoiceError) as raised:
        create(
            model="anthropic/claude-sonet-4-5", session_manager=SessionManager.in_memory(project)
        )
    text = str(raised.value)
    assert text.startswith('Model "anthropic/claude-sonet-4-5" not found. Did you mean: ')
    assert "anthropic/claude-sonnet-4-5" in text
    assert "\n" not in text


def test_a_missing_key_names_its_variable(project):
    async def main():
        manager = SessionManager.in_memory(project)
        async with create_agent(
            model="anthropic/claude-sonnet-4-5", session_manager=manager
        ) as session:
            await session.prompt("hi")

    with pytest.raises(Exception, match="ANTHROPIC_API_KEY") as raised:
        asyncio.run(main())
    assert str(raised.value).startswith("No API key found for anthropic.\n\n")


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_a_working_directory_that_is_none(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(SdkError, match=f"^cwd: not a directory: {tmp_path / name}"):
        create(cwd=tmp_path / name, agent_dir=tmp_path)


def test_a_stored_session_whose_directory_is_gone(fake, project, tmp_path):
    async def main():
        async with fake:
            manager = SessionManager.create(project, tmp_path / "sessions")
            async with create_agent(models=fake.models, session_manager=manager) as session:
                await session.prompt("hi")
                path = session.session_file
            project.rmdir()
            with pytest.raises(SessionCwdError) as raised:
                await create_agent(models=fake.models, session_manager=SessionManager.open(path))
            with SessionManager.open(path) as reopened:  # the file was given up
                assert not reopened.read_only
            return path, str(raised.value)

    path, text = asyncio.run(main())
    assert text.splitlines() == [
        f"Stored session working directory does not exist: {project}",
        f"Session file: {path}",
        f"Current working directory: {Path.cwd()}",
    ]


@pytest.mark.parametrize("own", [False, True], ids=["default session", "given session"])
def test_a_session_directory_that_cannot_be_made(project, tmp_path, own):
    (tmp_path / "agent").write_text("in the way")
    manager = SessionManager.create(project, tmp_path / "agent" / "x") if own else None
    with pytest.raises(SdkError) as raised:
        create(cwd=project, agent_dir=tmp_path / "agent", session_manager=manager)
    text = str(raised.value)
    assert text.startswith(f"Session directory is not writable: {tmp_path / 'agent'}")
    assert "\n" not in text


def test_a_file_that_is_no_session(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text("not a session\n")
    with pytest.raises(SessionFormatError) as raised:
        create(session_manager=SessionManager.open(path))
    assert str(raised.value) == f"Session file is not a valid pi session: {path}"


def test_a_session_that_another_agent_has(fake, project, tmp_path):
    async def main():
        async with fake:
            manager = SessionManager.create(project, tmp_path / "sessions")
            async with create_agent(models=fake.models, session_manager=manager) as session:
                await session.prompt("hi")
                with pytest.raises(SessionLockedError, match="open for writing in process"):
                    SessionManager.open(session.session_file)

    asyncio.run(main())


def test_sdk_check_41_a_mixed_tool_list_is_refused_and_the_session_given_up(project, tmp_path):
    manager = SessionManager.create(project, tmp_path / "sessions")
    with pytest.raises(SdkError) as raised:
        create(session_manager=manager, tools=["+a", "b"])
    assert str(raised.value) == (
        "Invalid tools option: tool names cannot be mixed with +name or -name entries"
    )
    assert manager.read_only


def test_bash_finds_programs_of_the_agent_directory(tmp_path: Path) -> None:
    program = tmp_path / "agent" / "bin" / "of-the-agent"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    call = faux_tool_call("bash", {"command": "of-the-agent"}, call_id="c")
    faux = FauxProvider([faux_message(call), faux_message("ok")])

    async def run() -> str:
        async with create_agent(
            model=faux.model,
            models=faux.models,
            cwd=tmp_path,
            agent_dir=tmp_path / "agent",
            session_manager=SessionManager.in_memory(tmp_path),
        ) as agent:
            await agent.prompt("go")
            [result] = [m for m in agent.messages if isinstance(m, ToolResultMessage)]
            return content_text(result.content)

    assert asyncio.run(run()) == "found\n"


def test_search_tools_can_be_chosen(tmp_path: Path) -> None:
    """They look for their programs in the agent directory first."""
    program = tmp_path / "agent" / "bin" / "rg"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\nprintf './agent.txt\\0001:found\\n'\n")
    program.chmod(0o755)
    (tmp_path / "sub").mkdir()
    calls = (("grep", {"pattern": "x"}), ("find", {"pattern": "sub"}), ("ls", {"limit": 1}))
    asked = [faux_tool_call(name, arguments, call_id=name) for name, arguments in calls]
    faux = FauxProvider([faux_message(asked), faux_message("ok")])

    async def run() -> list[str]:
        async with create_agent(
            model=faux.model,
            models=faux.models,
            cwd=tmp_path,
            agent_dir=tmp_path / "agent",
            tools=["grep", "find", "ls"],
            session_manager=SessionManager.in_memory(tmp_path),
        ) as agent:
            assert agent.get_active_tool_names() == ["grep", "find", "ls"]
            await agent.prompt("go")
            results = [m for m in agent.messages if isinstance(m, ToolResultMessage)]
            return [content_text(result.content) for result in results]

    assert asyncio.run(run()) == [
        "agent.txt:1: found",
        "sub/",
        "agent/\n\n[1 entries limit reached. Use limit=2 for more]",
    ]


def test_the_directory_of_another_place_need_not_exist_here(tmp_path: Path) -> None:
    prefix = in_root(tmp_path / "root") or ["env", "ELSEWHERE=yes"]
    cwd = "/work" if prefix[0] == "unshare" else str(tmp_path / "root/work")
    call = faux_tool_call("write", {"path": "d/f", "content": "there"}, call_id="c")
    faux = FauxProvider([faux_message(call), faux_message("ok"), faux_message("again")])
    agent_dir = tmp_path / "agent"

    async def run() -> str:
        options = {"model": faux.model, "models": faux.models, "agent_dir": agent_dir}
        options["tool_options"] = over_prefix(prefix)
        async with create_agent(**options, cwd=cwd) as agent:
            await agent.prompt("write it")
            file = agent.session_file
        async with create_agent(**options, session_manager=SessionManager.open(file)) as agent:
            await agent.prompt("and?")
            return agent.last_assistant_text()

    assert asyncio.run(run()) == "again"
    assert (tmp_path / "root/work/d/f").read_text() == "there"
    with pytest.raises(SdkError, match=r"^cwd: not a directory: "):
        create(cwd=tmp_path / "none", agent_dir=agent_dir, tool_options=confined_to([tmp_path]))
