"""`run_sync`: from a script, a thread, a fork, a test, and beside a running event loop."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pi_agent import Agent, AgentBusyError, ToolContext, tool
from pi_ai import AssistantMessage, ToolResultMessage
from pi_ai.testing import FauxProvider, ScriptedServer, faux_message, faux_tool_call
from support.agent_traces import Bench, call, says

REQUEST = contextvars.ContextVar("REQUEST", default="none")


@tool
async def which_request() -> str:
    """The request that is being served."""
    return REQUEST.get()


def asking_tool(name: str) -> Agent:
    """An agent that calls the tool above and then says its name."""
    provider = FauxProvider([faux_message(faux_tool_call("which_request", {})), faux_message(name)])
    return Agent(model=provider.model, models=provider.models, tools=[which_request])


def tool_text(agent: Agent) -> str:
    (result,) = [m for m in agent.state.messages if isinstance(m, ToolResultMessage)]
    return result.content[0].text


def test_run_sync_gives_the_answer_and_leaves_no_thread():
    before = threading.enumerate()
    agent = asking_tool("a")
    REQUEST.set("seven")
    last = agent.run_sync("q")
    assert last is not None
    assert (last.text, tool_text(agent)) == ("a", "seven")
    assert threading.enumerate() == before


def test_run_sync_beside_a_running_event_loop():
    async def cell() -> AssistantMessage | None:
        return asking_tool("notebook").run_sync("q")

    last = asyncio.run(cell())
    assert last is not None
    assert last.text == "notebook"


def test_agents_in_threads_share_nothing():
    def work(number: int) -> tuple[str, str]:
        REQUEST.set(str(number))
        agent = asking_tool(f"agent {number}")
        last = agent.run_sync("q")
        assert last is not None
        return last.text, tool_text(agent)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(work, range(24)))
    assert answers == [(f"agent {n}", str(n)) for n in range(24)]


def test_one_call_after_another_over_http():
    """Each call has connections of its own, and the conversation goes on."""
    started, done = threading.Event(), threading.Event()
    urls: list[ScriptedServer] = []

    async def serve() -> None:
        async with ScriptedServer([faux_message(f"answer {n}") for n in range(3)]) as server:
            urls.append(server)
            started.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert started.wait(5)
        agent = Agent(model=urls[0].model(), stream_options={"api_key": "k"})
        answers = [agent.run_sync(f"q{n}") for n in range(3)]
    finally:
        done.set()
        thread.join()
    assert [a.text if a else None for a in answers] == ["answer 0", "answer 1", "answer 2"]
    assert [len(request["messages"]) for request in urls[0].requests] == [1, 3, 5]


def test_run_sync_raises_what_prompt_raises():
    bench = Bench([says("x")])
    bench.agent.subscribe(lambda _event: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        bench.agent.run_sync("q")
    assert not bench.agent.state.is_streaming


def test_a_tool_cannot_run_its_own_agent_again():
    @tool
    def again() -> str:
        """Ask the agent itself."""
        agent.run_sync("and?")
        return "never"

    provider = FauxProvider([faux_message(faux_tool_call("again", {})), faux_message("done")])
    agent = Agent(model=provider.model, models=provider.models, tools=[again])
    last = agent.run_sync("q")
    assert last is not None
    assert last.text == "done"
    assert tool_text(agent).startswith("Agent is already processing a prompt.")


def test_a_tool_may_run_another_agent():
    @tool
    def delegate() -> str:
        """Ask another agent."""
        last = asking_tool("the other").run_sync("q")
        return last.text if last else ""

    provider = FauxProvider([faux_message(faux_tool_call("delegate", {})), faux_message("done")])
    agent = Agent(model=provider.model, models=provider.models, tools=[delegate])
    agent.run_sync("q")
    assert tool_text(agent) == "the other"


# --- one agent, several loops -----------------------------------------------------------------


def test_waiting_for_a_run_of_another_loop():
    running, seen = threading.Event(), threading.Event()

    async def execute(_args: object, ctx: ToolContext) -> object:
        running.set()
        await asyncio.to_thread(ctx_aborted(ctx).wait)
        seen.set()
        raise RuntimeError("stopped")

    bench = Bench([says(call("t1"))], executes={"echo": execute})
    agent = bench.agent
    thread = threading.Thread(target=agent.run_sync, args=("q",))
    thread.start()
    assert running.wait(5)

    async def main() -> None:
        with pytest.raises(AgentBusyError):
            await agent.prompt("another")
        waiting = asyncio.create_task(agent.wait_for_idle())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        agent.abort()
        await waiting
        assert agent.signal is None
        bench.provider.responses = [says("fine")]
        last = await agent.prompt("next")
        assert last is not None
        assert last.text == "fine"

    asyncio.run(main())
    thread.join()
    assert seen.is_set()


def ctx_aborted(ctx: ToolContext) -> threading.Event:
    event = threading.Event()
    ctx.signal.add_listener(event.set)
    return event


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("point", ["stream", "tool"])
def test_a_loop_closed_without_a_word_leaves_a_transcript_that_can_be_continued(point: str):
    """What `loop.close()` does to a run that nobody cancelled."""

    async def execute(_args: object, _ctx: ToolContext) -> object:
        reached.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def listener(event: object) -> None:
        if point == "stream" and getattr(event, "type", "") == "message_update":
            reached.set()
            await asyncio.Event().wait()

    bench = Bench([says("some text", call("t1"))], executes={"echo": execute})
    agent = bench.agent
    agent.steer("S")
    unsubscribe = agent.subscribe(listener)
    loop = asyncio.new_event_loop()
    reached = asyncio.Event()
    task = loop.create_task(agent.prompt("q"))
    loop.run_until_complete(reached.wait())
    loop.set_exception_handler(lambda _loop, _told: None)
    loop.close()
    assert not task.done()
    unsubscribe()

    bench.provider.responses = [says("fine")]
    last = bench.prompt("next")
    assert last is not None
    assert last.text == "fine"
    reasons = [m.stop_reason for m in bench.assistants]
    if point == "stream":
        assert reasons == ["aborted", "stop"]
        assert bench.assistants[0].content != []
    else:
        assert reasons == ["toolUse", "aborted", "stop"]
        assert [m.tool_call_id for m in bench.results] == ["t1"]
    assert sum("'S'" in str(m) for m in bench.messages) == 1


# --- processes --------------------------------------------------------------------------------

SCRIPT = """
    import os, sys
    from pi_agent import Agent, tool
    from pi_ai.testing import FauxProvider, faux_message, faux_tool_call

    @tool
    def wait(seconds: float) -> str:
        "Wait in a thread."
        import time
        print("running", flush=True)
        time.sleep(seconds)
        return "waited"

    def agent(seconds):
        call = faux_tool_call("wait", {"seconds": seconds}, call_id="t1")
        provider = FauxProvider([faux_message(call), faux_message("done"), faux_message("again")])
        return Agent(model=provider.model, models=provider.models, tools=[wait],
                     tool_grace_seconds=0.05)
"""


def start(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(SCRIPT) + textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_in_a_script_aborts_the_run():
    process = start("""
        a = agent(30)
        try:
            a.run_sync("q")
        except KeyboardInterrupt:
            print([getattr(m, "stop_reason", m.role) for m in a.state.messages], flush=True)
            print(a.run_sync("next").text, flush=True)
            sys.exit(7)
    """)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=10)
    assert errors == ""
    assert output == "['system', 'user', 'toolUse', 'toolResult', 'aborted']\ndone\n"
    assert process.returncode == 7


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("during", [False, True], ids=["between-runs", "during-a-run"])
def test_run_sync_after_a_fork(during: bool):
    """A fork inherits the agent, and neither the loop nor the thread that ran it."""
    process = start(f"""
        import threading, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads
        a = agent(0.3)
        runner = threading.Thread(target=a.run_sync, args=("q",))
        runner.start()
        if {during}:
            while not a.state.pending_tool_calls:
                pass
        else:
            runner.join()
        child = os.fork()
        if not child:
            print("child:", a.run_sync("next").text, len(a.state.messages), flush=True)
            os._exit(0)
        runner.join()
        _, status = os.waitpid(child, 0)
        print("parent:", a.state.messages[-1].text, status, flush=True)
    """)
    with process:
        output, errors = process.communicate(timeout=15)
    assert errors == ""
    wanted = ["child: done 7", "parent: done 0"] if during else ["child: again 7", "parent: done 0"]
    assert sorted(output.split("running\n")[-1].splitlines()) == wanted
