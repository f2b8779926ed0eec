"""Stopping an agent at random moments of a run over real sockets, threads and processes.

Whatever stops it, and wherever it is: it settles, what was received is kept, every call has its
result, any provider would take the next request, and nothing is left running.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from pi_agent import (
    Agent,
    AgentEvent,
    Hooks,
    MessageEndEvent,
    MessageStartEvent,
    MessageUpdateEvent,
    ToolContext,
    ToolExecutionStartEvent,
    tool,
)
from pi_ai import (
    AssistantMessage,
    Context,
    Model,
    StreamOptions,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from pi_ai.testing import (
    LoopbackRequest,
    LoopbackResponse,
    LoopbackServer,
    faux_message,
)
from pi_ai.testing.scripted_server import anthropic_events, completions_chunks
from pi_ai.transcript import content_text
from pi_tools import create_bash_tool
from support.agent_traces import loose_ends
from support.handover import ASKINGS, CLAUDE, GPT, ask

GRACE_SECONDS = 0.03
AT_ONCE = 25
GROUPS = 40
"""A thousand runs in all."""

APIS = ("anthropic-messages", "openai-completions")


@tool
async def quick(v: str) -> str:
    """Answer after a moment."""
    await asyncio.sleep(0.002)
    return v


@tool
def threaded(v: str, ctx: ToolContext) -> str:
    """Wait in a thread until it is told to stop, or long enough."""
    stopped = threading.Event()
    ctx.signal.add_listener(stopped.set)
    ctx.on_update(v)
    stopped.wait(0.01)
    return v


@tool
async def deaf(v: str) -> str:
    """Wait, whatever the signal says."""
    await asyncio.sleep(0.06)
    return v


class Host:
    """A model server that fails first, then speaks, calls tools, and speaks again."""

    def __init__(self) -> None:
        self.server = LoopbackServer(self._answer)
        self.asked: Counter[str] = Counter()

    def model(self, api: str, name: str) -> Model:
        base = self.server.url + ("/v1" if api == APIS[1] else "")
        template = CLAUDE if api == APIS[0] else GPT
        return Model(
            id=name,
            api=api,
            provider="scripted",
            base_url=base,
            reasoning=True,
            input=["text"],
            context_window=template.context_window,
            max_tokens=4096,
        )

    async def _answer(self, request: LoopbackRequest) -> LoopbackResponse:
        body: Any = request.json()
        name: str = body["model"]
        self.asked[name] += 1
        turn = self.asked[name]
        if turn == 1:
            headers = {"Content-Type": "application/json", "retry-after-ms": "8"}
            return LoopbackResponse(b'{"error":{"message":"busy"}}', 529, headers)
        await asyncio.sleep(0.002)
        events = anthropic_events if "/v1/messages" in request.path else completions_chunks
        return LoopbackResponse(self._paced(events(self._says(name, turn))))

    def _says(self, name: str, turn: int) -> AssistantMessage:
        if turn != 2:
            return faux_message("That is all there is to say about it.")
        names = ["quick", "threaded", "bash" if name.endswith("bash") else "deaf"]
        arguments: dict[str, Any] = {"bash": {"command": "sleep 0.02; echo hi"}}
        calls = [
            ToolCall(f"call_{index}", each, arguments.get(each, {"v": "x"}))
            for index, each in enumerate(names)
        ]
        return faux_message(
            [ThinkingContent("let me think about it"), TextContent("I will try this."), *calls]
        )

    async def _paced(self, pieces: Any) -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece
            await asyncio.sleep(0.0005)


class Subject:
    """An agent whose run comes by many marks; `stop` is called a moment after one of them."""

    def __init__(self, host: Host, rng: random.Random, name: str, cwd: Path) -> None:
        self.stop: Callable[[], object] = lambda: None
        self.stopped_at: float | None = None
        self.settled_at = 0.0
        self._marks_left = rng.randrange(75)
        self._delay = rng.choice([0.0, 0.0, rng.random() * 0.006])
        self._rng = rng
        self.received: dict[int, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
        self.started: list[str] = []
        self._assistants = -1
        options = StreamOptions(api_key="k", max_retries=2)
        self.agent = Agent(
            model=host.model(rng.choice(APIS), name),
            thinking_level="low",
            system_prompt="Be brief.",
            tools=[quick, threaded, deaf, create_bash_tool(cwd)],
            stream_options=options,
            hooks=Hooks(
                transform_context=self._pass_on,
                before_tool_call=self._nothing,
                after_tool_call=self._nothing,
                finish_turn=self._nothing,
                prepare_request=self._nothing,
                prepare_next_turn=self._nothing,
            ),
            tool_execution=rng.choice(["parallel", "sequential"]),
            tool_grace_seconds=GRACE_SECONDS,
        )
        self.agent.subscribe(self._listen)
        self.agent.steer("also this")
        self.agent.follow_up("and then that")

    def mark(self) -> None:
        self._marks_left -= 1
        if self._marks_left == 0:
            asyncio.get_running_loop().call_later(self._delay, self._stop_now)

    def _stop_now(self) -> None:
        self.stopped_at = time.monotonic()
        self.stop()

    async def _pause(self) -> None:
        self.mark()
        await asyncio.sleep(self._rng.choice([0, 0, 0.001]))

    async def _nothing(self, _asked: object, _signal: object) -> None:
        await self._pause()

    async def _pass_on(self, messages: Sequence[Any], _signal: object) -> Sequence[Any]:
        await self._pause()
        return messages

    async def _listen(self, event: AgentEvent) -> None:
        self.mark()
        match event:
            case MessageStartEvent(message=AssistantMessage()):
                self._assistants += 1
            case MessageUpdateEvent(assistant_message_event=update):
                if update.type in {"text_delta", "thinking_delta"}:
                    told: Any = update
                    self.received[self._assistants][told.content_index].append(told.delta)
            case ToolExecutionStartEvent(tool_call_id=call_id):
                self.started.append(call_id)
            case MessageEndEvent():
                await self._pause()
            case _:
                pass

    # --- afterwards ---------------------------------------------------------------------------

    @property
    def assistants(self) -> list[AssistantMessage]:
        return [m for m in self.agent.state.messages if isinstance(m, AssistantMessage)]

    def check_transcript(self) -> None:
        state = self.agent.state
        assert (self.agent.signal, state.is_streaming) == (None, False)
        assert (state.pending_tool_calls, state.streaming_message) == (frozenset(), None)
        assert state.error is None
        wanted = [
            block.id
            for message in self.assistants
            if message.stop_reason not in {"error", "aborted"}
            for block in message.tool_calls
        ]
        results = [m for m in state.messages if isinstance(m, ToolResultMessage)]
        assert [m.tool_call_id for m in results] == wanted
        for index, message in enumerate(self.assistants):
            for at, pieces in self.received[index].items():
                block: Any = message.content[at]
                kept = block.text if isinstance(block, TextContent) else block.thinking
                assert kept == "".join(pieces)

    async def check_going_on(self) -> None:
        """The next prompts are answered, and every provider would take the transcript."""
        for model in (CLAUDE, GPT):
            messages: list[Any] = [*self.agent.state.messages, UserMessage("next")]
            await ask(model, Context(messages), ASKINGS["thinking-short"])
        self._marks_left = -1
        for text in ("next", "and next"):
            last = await self.agent.prompt(text)
            assert last is not None
            assert (last.stop_reason, last.error_message) in {("stop", None), ("toolUse", None)}
        self.check_transcript()
        told = [
            content_text(m.content) for m in self.agent.state.messages if isinstance(m, UserMessage)
        ]
        assert Counter(told) == Counter(["q", "also this", "and then that", "next", "and next"])


# --- ways to stop -----------------------------------------------------------------------------


async def by_abort(subject: Subject) -> None:
    subject.stop = subject.agent.abort
    await subject.agent.prompt("q")


async def by_abort_in_a_thread(subject: Subject) -> None:
    threads: list[threading.Thread] = []

    def stop() -> None:
        threads.append(threading.Thread(target=subject.agent.abort))
        threads[0].start()

    subject.stop = stop
    await subject.agent.prompt("q")
    for thread in threads:
        thread.join()


async def by_cancelling_the_waiter(subject: Subject) -> None:
    task = asyncio.create_task(subject.agent.prompt("q"))
    subject.stop = task.cancel
    with suppress(asyncio.CancelledError):
        await task


async def by_timeout(subject: Subject) -> None:
    limit = asyncio.timeout(None)
    loop = asyncio.get_running_loop()
    subject.stop = lambda: None if limit.expired() else limit.reschedule(loop.time())
    with suppress(TimeoutError):
        async with limit:
            await subject.agent.prompt("q")
        subject.stop = lambda: None


async def by_cancelling_the_consumer(subject: Subject) -> None:
    async def consume() -> None:
        async with subject.agent.run("q") as events:
            async for _ in events:
                await asyncio.sleep(0)

    task = asyncio.create_task(consume())
    subject.stop = task.cancel
    with suppress(asyncio.CancelledError):
        await task


async def by_leaving(subject: Subject) -> None:
    async for _ in subject.agent.run("q"):
        if subject.stopped_at is not None:
            break
    await subject.agent.wait_for_idle()


async def by_aclose(subject: Subject) -> None:
    async with subject.agent.run("q") as events:
        async for _ in events:
            if subject.stopped_at is not None:
                break


WAYS: list[Callable[[Subject], Awaitable[None]]] = [
    by_abort,
    by_abort_in_a_thread,
    by_cancelling_the_waiter,
    by_timeout,
    by_cancelling_the_consumer,
    by_leaving,
    by_aclose,
]


# --- a group of them --------------------------------------------------------------------------


class Traces:
    """What this process holds: descriptors, threads, children."""

    def __init__(self) -> None:
        self.descriptors = self._count_descriptors()
        self.threads = set(threading.enumerate())

    @staticmethod
    def _count_descriptors() -> int | None:
        folder = Path("/proc/self/fd")
        return len(list(folder.iterdir())) if folder.exists() else None

    def check(self) -> None:
        for thread in set(threading.enumerate()) - self.threads:
            thread.join(1)  # a tool in a thread is told to stop, and not waited for
        assert set(threading.enumerate()) == self.threads
        assert self._count_descriptors() == self.descriptors
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)


def run_group(main: Callable[[], Awaitable[Any]]) -> Any:
    """`main()` in a loop of its own; fails on anything asyncio complains of."""
    complaints: list[object] = []

    async def noting() -> Any:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, told: complaints.append(told))
        async with asyncio.timeout(15):
            return await main()

    value = asyncio.run(noting())
    assert complaints == []
    return value


@contextmanager
def served_elsewhere(host: Host) -> Iterator[None]:
    """The host's server in a loop and a thread of its own, which outlive the loops of agents."""
    started, over = threading.Event(), threading.Event()

    async def serve() -> None:
        async with host.server:
            started.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    started.wait()
    try:
        yield
    finally:
        over.set()
        thread.join()


def names(rng: random.Random) -> list[str]:
    return [f"m{n}{'-bash' if rng.random() < 0.25 else ''}" for n in range(AT_ONCE)]


@pytest.mark.parametrize("seed", range(GROUPS - 5))
def test_agent_stop_anywhere(seed: int, tmp_path: Path):
    rng = random.Random(seed)
    traces = Traces()

    async def one(host: Host, name: str) -> float:
        subject = Subject(host, random.Random(rng.random()), name, tmp_path)
        await rng.choice(WAYS)(subject)
        settled = time.monotonic() - (subject.stopped_at or time.monotonic())
        subject.check_transcript()
        await subject.check_going_on()
        return settled

    async def main() -> list[float]:
        host = Host()
        async with host.server:
            settled = await asyncio.gather(*(one(host, name) for name in names(rng)))
        assert await loose_ends() == []
        return settled

    settled = run_group(main)
    # the grace for a deaf tool twice over, and time for a busy machine
    assert max(settled) < 2 * GRACE_SECONDS + 2
    traces.check()


@pytest.mark.parametrize("seed", range(GROUPS - 5, GROUPS))
def test_agent_stop_anywhere_by_closing_the_loop(seed: int, tmp_path: Path):
    """All runs of a group are cut off at once; they go on in another loop."""
    rng = random.Random(seed)
    traces = Traces()
    subjects: list[Subject] = []
    host = Host()

    async def follow(subject: Subject, by_events: bool) -> None:
        if by_events:
            async for _ in subject.agent.run("q"):
                await asyncio.sleep(0)
        else:
            await subject.agent.prompt("q")

    async def cut_off() -> None:
        enough = asyncio.Event()
        for name in names(rng):
            subjects.append(Subject(host, random.Random(rng.random()), name, tmp_path))
        subjects[0].stop = enough.set
        running = [asyncio.create_task(follow(subject, rng.random() < 0.5)) for subject in subjects]
        running[0].add_done_callback(lambda _: enough.set())
        await enough.wait()

    async def go_on() -> None:
        for subject in subjects:
            subject.check_transcript()
        await asyncio.gather(*(subject.check_going_on() for subject in subjects))
        assert await loose_ends() == []

    with served_elsewhere(host):
        run_group(cut_off)
        run_group(go_on)
    traces.check()
