"""Images, notes of the host, commands of the user, moves in the tree: sdk spec, 10 and 14."""

from __future__ import annotations

import asyncio
import base64
import io
import json

import pytest
from PIL import Image

from pi_agent import AgentTool, ToolResult, tool
from pi_ai import ImageContent, Models, TextContent
from pi_sdk import NoModelError, PromptRejectedError, SessionSettings, create_agent
from pi_session import CustomMessage, EntryNotFoundError, SessionManager
from support.agent_sessions import opened, said


def png(width, height):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(buffer, "PNG")
    return ImageContent(base64.b64encode(buffer.getvalue()).decode(), "image/png")


def block(data, mime_type):
    return ImageContent(base64.b64encode(data).decode(), mime_type)


RESIZED = (
    "[Image: original 3000x100, displayed at 2000x67. "
    "Multiply coordinates by 1.50 to map to original image.]"
)
NOT_RESIZED = "[Image omitted: could not be resized below the inline image size limit.]"
NOT_CONVERTED = "[Image omitted: could not be converted to a supported inline image format.]"
MIXED = [png(4, 4), png(3000, 100), block(b"junk", "image/png"), block(b"%PDF", "application/pdf")]


def user_content(session):
    (message,) = [m for m in session.messages if m.role == "user"]
    return message.content


# --- images -----------------------------------------------------------------------------------


def test_sdk_check_42_images_of_a_prompt_are_made_to_fit(fake, project):
    async def main():
        async with fake, opened(fake, project) as session:
            await session.prompt("look", images=MIXED)
            return user_content(session)

    text, *images = asyncio.run(main())
    assert text.text == f"look\n\n{RESIZED}\n{NOT_RESIZED}\n{NOT_CONVERTED}"
    assert images[0] == MIXED[0]
    with Image.open(io.BytesIO(base64.b64decode(images[1].data))) as picture:
        assert picture.size == (2000, 67)
    assert len(images) == 2


def test_queued_images_are_made_to_fit_when_they_are_delivered(fake, project, recorder, answer):
    async def main():
        hold = asyncio.Event()
        fake.answers = [answer(hold=hold)]
        async with fake, opened(fake, project) as session:
            seen = recorder()
            session.subscribe(seen)
            run = asyncio.create_task(session.prompt("hi"))
            await seen.saw("message_update")
            await session.steer("look", [png(3000, 100)])
            hold.set()
            await run
            return seen

    starts = asyncio.run(main()).of("message_start")
    (steered,) = [
        e.message for e in starts if said([e.message]) == [("user", f"look\n\n{RESIZED}")]
    ]
    assert len(steered.content) == 2


def test_images_keep_their_size_where_that_is_wanted(fake, project):
    async def main():
        settings = SessionSettings(auto_resize_images=False)
        async with fake, opened(fake, project, session_settings=settings) as session:
            await session.prompt("look", images=MIXED)
            return user_content(session)

    text, *images = asyncio.run(main())
    assert text.text == f"look\n\n{NOT_CONVERTED}"
    assert images == MIXED[:3]


def test_something_else_than_an_image_is_refused(fake, project):
    async def main():
        async with fake, opened(fake, project) as session:
            with pytest.raises(TypeError, match=r"images\[0\]: expected ImageContent, found dict"):
                await session.prompt("look", images=[{"type": "image"}])
            return len(session.messages), session.is_idle

    assert asyncio.run(main()) == (0, True)


def test_images_of_tool_results_are_made_to_fit_or_kept(fake, project, answer):
    async def draw(_arguments, _ctx):
        return ToolResult([TextContent("drawn"), png(3000, 100), *MIXED[2:], png(4, 4)])

    async def main():
        fake.answers = [answer((), [("draw", {})])]
        custom = AgentTool(name="draw", description="Draws.", parameters={}, execute=draw)
        async with fake, opened(fake, project, custom_tools=[custom]) as session:
            await session.prompt("hi")
            return next(m for m in session.messages if m.role == "toolResult").content

    drawn, large, note, junk, pdf, small = asyncio.run(main())
    assert (drawn.text, note.text) == ("drawn", RESIZED)
    assert [junk, pdf.text, small] == [MIXED[2], NOT_CONVERTED, png(4, 4)]
    with Image.open(io.BytesIO(base64.b64decode(large.data))) as picture:
        assert picture.size == (2000, 67)


def test_sdk_check_43_blocked_images_are_not_sent(fake, project):
    async def main():
        async with fake:
            (model, _) = fake.models.get_models("fake")
            model.input.append("image")
            settings = SessionSettings(block_images=True)
            async with opened(fake, project, model=model, session_settings=settings) as session:
                await session.prompt("look", images=[png(4, 4), png(5, 5)])
                await session.prompt("again")
                return user_content_of_first(session)

    def user_content_of_first(session):
        return next(m for m in session.messages if m.role == "user").content

    stored = asyncio.run(main())
    assert [one.type for one in stored] == ["text", "image", "image"]
    for body in fake.bodies:
        (asked,) = [m for m in body["messages"] if "look" in json.dumps(m) and m["role"] == "user"]
        assert asked["content"] == [
            {"type": "text", "text": "look"},
            {"type": "text", "text": "Image reading is disabled."},
        ]


# --- messages of the host ---------------------------------------------------------------------


def note(text):
    return CustomMessage(custom_type="note", content=text, display=True)


def test_a_note_for_the_next_prompt_goes_behind_it(fake, project):
    async def main():
        async with fake, opened(fake, project) as session:
            await session.send_custom_message(note("n"), deliver_as="nextTurn")
            before = len(session.messages)
            await session.prompt("hi")
            await session.prompt("more")
            return before, said(session.messages), session.pending_message_count

    before, messages, pending = asyncio.run(main())
    assert (before, pending) == (0, 0)
    assert messages[:3] == [("user", "hi"), ("custom", "n"), ("assistant", "Hello world")]
    assert len(messages) == 5


@pytest.mark.parametrize("trigger", [None, False, True])
def test_a_note_to_an_idle_session(fake, project, recorder, trigger):
    async def main():
        async with fake, opened(fake, project) as session:
            seen = recorder()
            session.subscribe(seen)
            await session.send_custom_message(note("n"), trigger_turn=trigger)
            return seen, said(session.messages)

    seen, messages = asyncio.run(main())
    if trigger:
        assert messages == [("custom", "n"), ("assistant", "Hello world")]
        assert seen.types[-1] == "agent_settled"
    else:
        assert messages == [("custom", "n")]
        assert seen.types == ["message_start", "message_end"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["toolResult", "custom", "assistant"]),
        ({"deliver_as": "steer"}, ["toolResult", "custom", "assistant"]),
        ({"deliver_as": "followUp"}, ["toolResult", "assistant", "custom", "assistant"]),
        ({"trigger_turn": False}, ["toolResult", "custom", "assistant"]),
    ],
    ids=["default", "steer", "follow-up", "append"],
)
def test_a_note_during_a_run_never_parts_a_call_from_its_result(
    fake, project, recorder, answer, options, expected
):
    @tool
    async def wait() -> str:
        """Waits for a note."""
        await session.send_custom_message(note("n"), **options)
        return "waited"

    async def main():
        nonlocal session
        fake.answers = [answer((), [("wait", {})])]
        async with fake, opened(fake, project, custom_tools=[wait]) as session:
            seen = recorder()
            session.subscribe(seen)
            await session.prompt("hi")
            return seen, [m.role for m in session.messages][3:]

    session = None
    seen, roles = asyncio.run(main())
    assert roles == expected
    assert '"n"' in json.dumps(fake.bodies[-1]["messages"])
    roles_told = [e.message.role for e in seen.of("message_end")]
    assert roles_told.count("custom") == 1


# --- commands of the user ---------------------------------------------------------------------


def test_sdk_check_44_a_command_is_told_to_the_model(fake, project, recorder):
    command = "echo out; echo err >&2; exit 3"

    async def main():
        async with fake, opened(fake, project) as session:
            seen = recorder()
            session.subscribe(seen)
            chunks = []
            result = await session.execute_bash(command, chunks.append, id="7")
            hidden = await session.execute_bash("echo secret", exclude_from_context=True)
            updates = seen.of("bash_execution_update")
            await session.prompt("hi")
            return result, hidden, chunks, updates, session.session_manager.get_entries()

    result, hidden, chunks, updates, entries = asyncio.run(main())
    assert sorted(result.output.split()) == ["err", "out"]
    assert (result.exit_code, result.cancelled, hidden.output) == (3, False, "secret\n")
    assert "".join(chunks) == result.output == "".join(e.delta for e in updates if e.id == "7")
    sent = json.dumps(fake.bodies[0]["messages"])
    assert f"Ran `{command}`" in sent
    assert "Command exited with code 3" in sent
    assert "secret" not in sent
    stored = [entry.message for entry in entries if entry.role == "bashExecution"]
    assert [(m.command, m.exclude_from_context) for m in stored] == [
        (command, None),
        ("echo secret", True),
    ]


def test_sdk_check_45_a_command_during_a_run_is_stored_behind_it(fake, project, recorder, answer):
    async def main():
        hold = asyncio.Event()
        fake.answers = [answer(hold=hold)]
        async with fake, opened(fake, project) as session:
            seen = recorder()
            session.subscribe(seen)
            roles = []

            def listen(event):
                if event.type == "agent_settled":
                    roles.append([m.role for m in session.messages])

            session.subscribe(listen)
            run = asyncio.create_task(session.prompt("hi"))
            await seen.saw("message_update")
            await session.execute_bash("echo hi")
            waiting = session.has_pending_bash_messages
            hold.set()
            await run
            return waiting, roles, session.has_pending_bash_messages

    waiting, roles, left = asyncio.run(main())
    assert roles == [["system", "user", "assistant", "bashExecution"]]
    assert (waiting, left) == (True, False)


def test_commands_run_side_by_side_and_are_stopped_together(fake, project, recorder):
    async def main():
        async with fake, opened(fake, project) as session:
            seen = recorder()
            session.subscribe(seen)
            runs = [
                asyncio.create_task(session.execute_bash("echo begun; sleep 30", id=name))
                for name in "ab"
            ]
            await seen.saw("bash_execution_update", 2)
            running = session.is_bash_running
            await session.abort()
            still = session.is_bash_running
            session.abort_bash()
            return running, still, await asyncio.gather(*runs), session.is_bash_running

    running, still, results, left = asyncio.run(main())
    assert (running, still, left) == (True, True, False)
    assert [(r.cancelled, r.exit_code, r.output) for r in results] == [(True, None, "begun\n")] * 2


def test_closing_stops_commands(fake, project, recorder):
    async def main():
        async with fake:
            session = await opened(fake, project)
            seen = recorder()
            session.subscribe(seen)
            run = asyncio.create_task(session.execute_bash("echo begun; sleep 30"))
            await seen.saw("bash_execution_update")
            closing = asyncio.create_task(session.aclose())
            await asyncio.wait([run])
            await closing
            return run

    run = asyncio.run(main())
    assert run.cancelled() or run.exception() is not None or run.result().cancelled


def test_the_prefix_runs_and_is_not_recorded(fake, project):
    async def main():
        settings = SessionSettings(shell_command_prefix="word=prefixed")
        async with fake, opened(fake, project, session_settings=settings) as session:
            result = await session.execute_bash("echo $word; pwd")
            return result.output, session.messages[0].command

    assert asyncio.run(main()) == (f"prefixed\n{project}\n", "echo $word; pwd")


def test_a_slow_listener_holds_a_command_back(fake, project):
    """What is printed waits in the pipe, not in memory."""

    async def main():
        async with fake, opened(fake, project) as session:
            go, most = asyncio.Event(), 0
            printed = 0

            async def slow(event):
                if event.type == "bash_execution_update":
                    await go.wait()

            def count(text):
                nonlocal printed
                printed += len(text)

            session.subscribe(slow)
            run = asyncio.create_task(session.execute_bash("yes | head -c 5000000", count))
            while printed > most or not printed:
                most = printed
                await asyncio.sleep(0.2)
            go.set()
            await run
            return most, printed

    most, printed = asyncio.run(main())
    assert most < 2_000_000 < printed == 5_000_000


# --- the tree ---------------------------------------------------------------------------------


def test_sdk_check_46_moving_to_a_question_gives_it_back(fake, project, answer):
    async def main():
        fake.answers = [answer(), answer(), answer(("left it",))]
        async with fake, opened(fake, project, thinking_level="low") as session:
            await session.prompt("one")
            await session.prompt("two")
            manager = session.session_manager
            first, second = session.get_user_messages_for_forking()
            moved = await session.navigate_tree(second.entry_id)
            there = manager.leaf_id == manager.get_entry(second.entry_id).parent_id
            same = await session.navigate_tree(manager.leaf_id)
            with_summary = await session.navigate_tree(first.entry_id, summarize=True, label="back")
            roles = [m.role for m in session.messages]
            await session.prompt("three")
            return moved, there, same, with_summary, roles, manager

    moved, there, same, with_summary, roles, manager = asyncio.run(main())
    assert (moved.editor_text, moved.cancelled, moved.summary_entry) == ("two", False, None)
    assert there
    assert (same.editor_text, same.cancelled) == (None, False)
    assert with_summary.editor_text == "one"
    entry = with_summary.summary_entry
    assert entry.type == "branch_summary"
    assert "left it" in entry.summary
    assert manager.get_label(entry.id) == "back"
    assert roles[-1] == "branchSummary"
    assert "left it" in json.dumps(fake.bodies[3]["messages"])


def test_a_stopped_branch_summary_moves_nothing(fake, project, answer):
    async def main():
        fake.answers = [answer(), answer(hold=asyncio.Event())]
        async with fake, opened(fake, project) as session:
            await session.prompt("one")
            leaf = session.session_manager.leaf_id
            target = session.get_user_messages_for_forking()[0].entry_id
            run = asyncio.create_task(session.navigate_tree(target, summarize=True))
            while len(fake.bodies) < 2:
                await asyncio.sleep(0.001)
            compacting = session.is_compacting
            with pytest.raises(PromptRejectedError, match="while compaction is in progress"):
                await session.prompt("too early")
            await session.abort()
            moved = await run
            return moved, compacting, session.session_manager.leaf_id == leaf, session.is_idle

    moved, compacting, stayed, idle = asyncio.run(main())
    assert (moved.cancelled, moved.aborted) == (True, True)
    assert (compacting, stayed, idle) == (True, True, True)


def test_a_move_brings_back_level_and_tools_of_the_branch(fake, project):
    async def main():
        async with fake, opened(fake, project) as session:
            await session.prompt("one")
            answer_id = session.session_manager.leaf_id
            session.set_active_tools_by_name(["read"])
            await session.set_thinking_level("high")
            await session.prompt("two")
            await session.navigate_tree(answer_id)
            tools = session.get_active_tool_names()
            await session.prompt("three")
            entries = session.session_manager.get_branch()
            return tools, [e.view.thinking_level for e in entries if e.type.startswith("thinking")]

    tools, levels = asyncio.run(main())
    assert tools == ["read", "bash", "edit", "write"]
    assert levels == ["medium", "high"]


def test_a_move_that_cannot_be_made_is_refused(fake, project):
    async def main():
        async with fake, opened(fake, project) as session:
            with pytest.raises(EntryNotFoundError, match=r"^Entry nope not found$"):
                await session.navigate_tree("nope")
        manager = SessionManager.in_memory(project)
        target, _ = manager.append_message(note("a")), manager.append_message(note("b"))
        async with create_agent(
            cwd=project, models=Models(()), session_manager=manager, context_files=False
        ) as session:
            with pytest.raises(NoModelError, match="No model available for summarization"):
                await session.navigate_tree(target, summarize=True)

    asyncio.run(main())


def test_a_cancelled_command_ends_and_is_not_stored(fake, project, recorder):
    async def main():
        async with fake, opened(fake, project) as session:
            seen = recorder()
            session.subscribe(seen)
            run = asyncio.create_task(session.execute_bash("echo begun; sleep 30"))
            await seen.saw("bash_execution_update")
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
            return session.is_bash_running, session.messages

    assert asyncio.run(main()) == (False, [])
