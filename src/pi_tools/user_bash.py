"""A command that the user runs, not the model: plain text for both to read.

Source: tools spec, section 12.
"""

from __future__ import annotations

import asyncio
import codecs
import os
from collections import deque
from collections.abc import Callable, Mapping

import msgspec

from pi_ai import AbortController, AbortError, AbortSignal
from pi_tools.encoding import encode_text
from pi_tools.operations import BashOperations
from pi_tools.output_cleaning import OutputCleaner
from pi_tools.process import CommandAbortedError
from pi_tools.settled import settled
from pi_tools.spill import SpillFile
from pi_tools.truncate import DEFAULT_MAX_BYTES, TruncationResult, truncate_tail

__all__ = ("UserBashResult", "execute_bash")

_KEPT_CHARACTERS = 102_400


class UserBashResult(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True, kw_only=True):
    """What became of a command.

    `output` is the cleaned end of what it printed. `exit_code` is None if it was cancelled or
    ended without one. `full_output_path` names the file with all of the cleaned output, if that
    was long.
    """

    output: str
    exit_code: int | None = None
    cancelled: bool = msgspec.field(default_factory=bool)
    truncated: bool = msgspec.field(default_factory=bool)
    full_output_path: str | None = None


async def execute_bash(
    command: str,
    cwd: str,
    operations: BashOperations,
    *,
    on_chunk: Callable[[str], None] | None = None,
    signal: AbortSignal | None = None,
    env: Mapping[str, str] | None = None,
) -> UserBashResult:
    """Run `command` in `cwd`, without a time limit.

    `on_chunk` gets the cleaned output as it comes. `env` is the process's own by default. An
    abort gives a result with what there is. Raises what `operations` and `on_chunk` raise.
    """
    signal = signal or AbortController().signal
    output = _CleanOutput(on_chunk)
    exit_code: int | None = None
    cancelled = False
    try:
        exit_code = await settled(
            operations.exec(
                command,
                cwd,
                on_data=output.feed,
                signal=signal,
                timeout=None,
                env=dict(os.environ) if env is None else env,
            )
        )
    except Exception as error:
        if not _is_abort(error):
            raise
        cancelled = True
    finally:
        await output.aclose()
    return output.result(exit_code, cancelled=cancelled)


def _is_abort(error: Exception) -> bool:
    return isinstance(error, CommandAbortedError | AbortError) or str(error) == "aborted"


class _CleanOutput:
    """Takes raw output; keeps the end of it cleaned, and all of it in a file if it is long."""

    def __init__(self, on_chunk: Callable[[str], None] | None) -> None:
        self._on_chunk = on_chunk
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._cleaner = OutputCleaner()
        self._raw_bytes = 0
        self._chunks: deque[str] = deque()
        self._kept = 0
        self._dropped = False
        self._spill: SpillFile | None = None
        self._closed = False

    def feed(self, data: bytes) -> asyncio.Future[None] | None:
        if self._closed:
            return None
        self._raw_bytes += len(data)
        return self._take(self._cleaner.feed(self._decoder.decode(data)))

    async def aclose(self) -> None:
        """End the output; the file, if there is one, is complete then."""
        if not self._closed:
            self._closed = True
            rest = self._cleaner.feed(self._decoder.decode(b"", final=True))
            self._take(rest + self._cleaner.finish())
            long = self._raw_bytes > DEFAULT_MAX_BYTES or self._view().truncated
            if long and self._spill is None:
                self._spill_all()
        if self._spill is not None:
            await self._spill.aclose()

    def result(self, exit_code: int | None, *, cancelled: bool) -> UserBashResult:
        view = self._view()
        spill = self._spill
        return UserBashResult(
            output=view.content,
            exit_code=None if cancelled else exit_code,
            cancelled=cancelled,
            truncated=view.truncated or self._dropped,
            full_output_path=spill.path if spill is not None and spill.error is None else None,
        )

    def _view(self) -> TruncationResult:
        return truncate_tail("".join(self._chunks))

    def _take(self, text: str) -> asyncio.Future[None] | None:
        if not text:
            return None
        room = None
        if self._spill is not None:
            room = self._spill.write(encode_text(text))
        self._chunks.append(text)
        self._kept += len(text)
        if self._spill is None and self._raw_bytes > DEFAULT_MAX_BYTES:
            room = self._spill_all()
        while self._kept > _KEPT_CHARACTERS and len(self._chunks) > 1:
            self._kept -= len(self._chunks.popleft())
            self._dropped = True
        if self._on_chunk is not None:
            self._on_chunk(text)
        return room

    def _spill_all(self) -> asyncio.Future[None] | None:
        self._spill = SpillFile()
        return self._spill.write(encode_text("".join(self._chunks)))
