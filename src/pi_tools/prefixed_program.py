"""Programs in another place whose output comes as it is printed, and which end there on an abort.

They run as a command of `bash` would; this sorts what they print, what they complain of and how
they ended.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pi_agent.types import ToolError
from pi_ai import AbortController
from pi_tools.encoding import encode_text
from pi_tools.prefix import CommandPrefix
from pi_tools.prefixed_bash import PrefixedBashOperations
from pi_tools.process import CommandTimeoutError

__all__ = ("ProgramOutput", "ProgramReport", "run_program")

# A single argument of a program has 128 KB at most on Linux, and the prefix may quote it again.
_MAX_COMMAND_BYTES = 60 * 1024
_MARK = b"\x1epi-stack "
# Complaints and the exit code go to the end of the output; what a login shell prints comes before
# the mark. Descriptor 3 is the output.
_FRAME = """\
LC_ALL=C
export LC_ALL
begin() { printf '%s\\n' "$1"; }
printf '\\036pi-stack '
exec 3>&1
said=$( { run; printf '\\n%s' "$?" >&2; } 2>&1 >&3 3>&- </dev/null | tail -c 8000)
printf '\\0end %s%s' "$token" "$said"
"""


class ProgramReport(NamedTuple):
    """How a program ended: its exit code, 0 if it was stopped, and what it complained of."""

    exit_code: int
    errors: str


class _Enough(Exception):
    """There is no use for more output."""


async def run_program(
    prefix: CommandPrefix,
    script: str,
    arguments: Sequence[str],
    *,
    token: str,
    take: Callable[[str, bytes], bool],
    timeout: float | None,
) -> ProgramReport:
    """Run the shell function `run` that `script` defines, from `arguments` in $1 and so on.

    It calls `begin NAME` before it prints; `take(NAME, piece)` gets each piece of output, of which
    some are empty, until it says False. `token`, which no output holds by chance, is $token there.
    Raises ToolError if it cannot be run, took more than `timeout` seconds or was cut off, and what
    `take` raises.
    """
    command = f"set -- {shlex.join(arguments)}\ntoken={token}\n{script}{_FRAME}"
    if len(encode_text(command)) > _MAX_COMMAND_BYTES:
        raise ToolError("The pattern is too long for a search in another place")
    output = ProgramOutput(token, take)
    try:
        await PrefixedBashOperations(prefix, shell_path="sh").exec(
            command,
            "/",
            on_data=output.feed,
            signal=AbortController().signal,
            timeout=timeout,
            env={},
        )
    except _Enough:
        return ProgramReport(0, "")
    except CommandTimeoutError as error:
        raise ToolError(f"No end of the search in {error.seconds:g} seconds: narrow it") from error
    return output.report(prefix.name)


class ProgramOutput:
    """Tells a program's output from what comes before and after it, piece by piece."""

    def __init__(self, token: str, take: Callable[[str, bytes], bool]) -> None:
        self._end = b"\0end " + token.encode()
        self._take = take
        self._begun = False
        self._name: str | None = None
        self._rest = b""
        self._tail: bytearray | None = None

    def feed(self, data: bytes) -> None:
        """Take a piece and pass the program's part of it on. Raises if there is enough."""
        if self._tail is not None:
            self._tail += data
            return
        data = self._rest + data
        if not self._begun:
            before, self._begun, data = _partition(data, _MARK)
            if not self._begun:
                self._rest = before[1 - len(_MARK) :]
                return
        data, found, tail = _partition(data, self._end)
        self._rest = b""
        if found:
            self._tail = bytearray(tail)
        else:
            # The beginning of the end may be there.
            keep = max(0, len(data) - len(self._end) + 1)
            data, self._rest = data[:keep], data[keep:]
        if self._name is None:
            name, found, rest = _partition(data, b"\n")
            if not found:
                self._rest = data + self._rest
                return
            self._name, data = name.decode("ascii", "replace"), rest
        if not self._take(self._name, data):
            raise _Enough

    def report(self, place: str) -> ProgramReport:
        """How the program ended. Raises ToolError, which names `place`, if that was not told."""
        text = bytes(self._tail or b"").decode("utf-8", "replace")
        errors, _, code = text.rpartition("\n")
        if not code.isdecimal():
            raise ToolError(f"{place} ended before the search did")
        return ProgramReport(int(code), errors.strip())


def _partition(data: bytes, mark: bytes) -> tuple[bytes, bool, bytes]:
    before, found, after = data.partition(mark)
    return before, bool(found), after
