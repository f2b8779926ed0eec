"""Running tools in tests: each call in a loop of its own, with a check that it leaves nothing."""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from pi_agent.types import AgentTool, ToolContext, ToolResult
from pi_ai import AbortController, TextContent
from support.processes import alive, processes_with

T = TypeVar("T")


@pytest.fixture(autouse=True)
def _spill_in(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spilled output goes where pytest cleans up."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("spill")))


@pytest.fixture(autouse=True, scope="module")
def _collect() -> Iterator[None]:
    """What only the garbage collector finds to be unclosed is found in the module it is from."""
    yield
    gc.collect()


@pytest.fixture(autouse=True, scope="package")
def _no_process_is_left() -> Iterator[None]:
    """What the tests of this package start inherits a variable, and is gone in the end."""
    mark = f"TOOL_TESTS={secrets.token_hex(8)}"
    name, _, value = mark.partition("=")
    os.environ[name] = value
    yield
    del os.environ[name]
    deadline = time.monotonic() + 5
    while left := [pid for pid in processes_with(mark) if alive(pid)]:
        assert time.monotonic() < deadline, f"processes left behind: {left}"
        time.sleep(0.05)


def _open_descriptors() -> set[str]:
    return set(os.listdir("/dev/fd"))


def _has_children() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, T]], T]:
    """`asyncio.run`, which fails the test if tasks, descriptors or processes are left behind."""

    def run_clean(work: Coroutine[Any, Any, T]) -> T:
        async def checked() -> T:
            try:
                return await work
            finally:
                rest = asyncio.all_tasks() - {asyncio.current_task()}
                assert not rest, f"tasks left behind: {rest}"

        before = _open_descriptors()
        try:
            return asyncio.run(checked())
        finally:
            assert len(_open_descriptors()) <= len(before), "descriptors left behind"
            assert not _has_children(), "child processes left behind"

    return run_clean


class Calls:
    """Calls a tool as the loop does."""

    def __init__(self, run: Callable[[Coroutine[Any, Any, ToolResult]], ToolResult]) -> None:
        self._run = run

    @staticmethod
    def context(**fields: Any) -> ToolContext:
        return ToolContext(
            **{"tool_call_id": "call-1", "signal": AbortController().signal, **fields}
        )

    def result(self, tool: AgentTool, arguments: dict[str, Any], **fields: Any) -> ToolResult:
        return self._run(self.start(tool, arguments, **fields))

    def text(self, tool: AgentTool, arguments: dict[str, Any], **fields: Any) -> str:
        return self.first_text(self.result(tool, arguments, **fields))

    async def start(self, tool: AgentTool, arguments: dict[str, Any], **fields: Any) -> ToolResult:
        call: Awaitable[ToolResult] = tool.execute(arguments, self.context(**fields))
        return await call

    @staticmethod
    def first_text(result: ToolResult) -> str:
        block = result.content[0]
        assert isinstance(block, TextContent)
        return block.text


@pytest.fixture
def calls(run: Callable[[Coroutine[Any, Any, ToolResult]], ToolResult]) -> Calls:
    return Calls(run)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder
