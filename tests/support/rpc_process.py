"""`python -m pi_sdk.rpc` as a process, as a client starts it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any


class Server:
    """A running server process: what is written to it, and every line that comes back."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[bytes] = []

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)

    def send(self, *records: Any) -> None:
        """All records in one write."""
        self.write(b"".join(json.dumps(record).encode() + b"\n" for record in records))

    async def read(self, wanted: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """Read on until a record is wanted; gives it."""
        assert self.process.stdout is not None
        async with asyncio.timeout(10):
            while True:
                line = await self.process.stdout.readline()
                assert line.endswith(b"\n"), "the server ended"
                self.lines.append(line)
                if wanted(record := json.loads(line)):
                    return record

    async def saw(self, kind: str, **fields: Any) -> dict[str, Any]:
        return await self.read(
            lambda r: r["type"] == kind and all(r.get(k) == v for k, v in fields.items())
        )

    async def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        self.send({"id": kind, "type": kind, **fields})
        return await self.saw("response", id=kind)

    async def text(self, text: str) -> None:
        """Read on until a text delta of the answer has arrived."""
        await self.read(lambda r: r.get("assistantMessageEvent", {}).get("delta") == text)

    def types(self) -> list[str]:
        return [record["type"] for record in self.records]

    async def end(self) -> tuple[int, str]:
        """Close its input and wait; gives status and standard error."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return await self.wait()

    async def wait(self) -> tuple[int, str]:
        async with asyncio.timeout(10):
            out, err = await self.process.communicate()
        self.lines += out.splitlines(keepends=True)
        assert self.process.returncode is not None
        return self.process.returncode, err.decode()


@contextlib.asynccontextmanager
async def running(agent_dir: Path, cwd: Path, *arguments: str, **env: str) -> AsyncIterator[Server]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "pi_sdk.rpc",
        "--mode",
        "rpc",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=cwd,
        env={**os.environ, "PI_CODING_AGENT_DIR": str(agent_dir), **env},
        limit=1 << 24,
    )
    try:
        yield Server(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
