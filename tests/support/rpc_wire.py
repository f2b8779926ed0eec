"""An RPC server over lines in memory, and the client's end of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from pi_ai import ThinkingLevel
from pi_sdk import AgentSession, AgentSessionRuntime, create_agent
from pi_sdk.rpc import RpcServer
from pi_sdk.session_settings import ScopedModel
from pi_session import SessionManager


class Wire:
    """The client's end: writes lines, reads records. `gate` closed means it reads nothing."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.broken = False
        self._behind = False
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._arrived = asyncio.Event()

    # what the server sees

    async def read_line(self) -> bytes | None:
        return await self._lines.get()

    def put_line(self, line: bytes) -> None:
        if self.broken:
            raise BrokenPipeError("the client is gone")
        assert b"\n" not in line
        self.records.append(json.loads(line))
        self._behind = not self.gate.is_set()
        self._arrived.set()

    async def write_line(self, line: bytes) -> None:
        self.put_line(line)
        await self.gate.wait()

    async def wait_writable(self) -> None:
        if self._behind:
            await self.gate.wait()

    def stop_waiting(self) -> None:
        self.gate.set()

    # what the client does

    @property
    def unread_lines(self) -> int:
        """How many lines the server has not taken."""
        return self._lines.qsize()

    def send(self, *records: Any) -> None:
        for record in records:
            self._lines.put_nowait(json.dumps(record).encode())

    def close(self) -> None:
        self._lines.put_nowait(None)

    async def until(self, wanted: Callable[[], Any]) -> Any:
        async with asyncio.timeout(5):
            while not (found := wanted()):
                self._arrived.clear()
                await self._arrived.wait()
        return found

    async def response(self, record_id: Any) -> dict[str, Any]:
        return await self.until(lambda: next(iter(self.responses(record_id)), None))

    async def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        self.send({"id": kind, "type": kind, **fields})
        known = len(self.responses(kind))
        return await self.until(lambda: (self.responses(kind)[known:] or [None])[0])

    async def saw(self, kind: str, count: int = 1) -> None:
        await self.until(lambda: len(self.of(kind)) >= count)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["type"] == kind]

    def responses(self, record_id: Any) -> list[dict[str, Any]]:
        return [record for record in self.of("response") if record.get("id") == record_id]

    def users(self) -> list[str]:
        """The texts of the user messages that were delivered."""
        messages = [record["message"] for record in self.of("message_end")]
        return [m["content"][0]["text"] for m in messages if m["role"] == "user"]


def serve(
    fake: Any,
    project: Any,
    talk: Callable[[Wire], Any],
    *,
    scope: Sequence[tuple[str, ThinkingLevel | None]] = (),
    **options: Any,
) -> Wire:
    """Run a server in memory and a conversation with it; the client closes its side at the end."""

    async def main() -> Wire:
        manager = options.pop("session_manager", None) or SessionManager.in_memory(project)
        async with fake:
            options.setdefault("models", fake.models)
            known = {model.id: model for model in options["models"].get_models()}
            options["scoped_models"] = [ScopedModel(known[name], level) for name, level in scope]

            async def create(manager: SessionManager) -> AgentSession:
                return await create_agent(session_manager=manager, context_files=False, **options)

            async with AgentSessionRuntime(await create(manager), create) as runtime:
                return await converse(runtime, talk)

    return asyncio.run(main())


async def converse(runtime: AgentSessionRuntime, talk: Callable[[Wire], Any]) -> Wire:
    wire = Wire()
    server = asyncio.create_task(RpcServer(runtime, wire, wire).serve())
    try:
        await talk(wire)
    finally:
        wire.close()
        await asyncio.wait([server], timeout=5)
    await server
    return wire
