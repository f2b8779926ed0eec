"""Commands in another place, run through a command prefix, and their end there.

The prefix's program carries a small supervisor to the other side. Its standard error is the way
back for news, its standard input the way to stop: when that ends without a word, for whatever
reason, the supervisor kills the command. Source: tools spec, section 7.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal as signals
from collections.abc import Mapping
from contextlib import suppress
from functools import partial

import msgspec

from pi_agent.types import ToolError
from pi_ai import AbortSignal
from pi_tools.bash import SESSION_VARIABLES
from pi_tools.operations import check_timeout, missing_directory
from pi_tools.prefix import CommandPrefix
from pi_tools.process import CommandAbortedError, CommandProcess, OnData, run_process

__all__ = ("PrefixedBashOperations",)

_NEWS = b"pi-stack:"
# Descriptors there: 3 the way back, 4 the way to it, 5 the command's output, which those who only
# watch must not hold open. SIGPIPE is caught, not ignored, since commands inherit the latter.
# A command gets a process group of its own from setsid, else from the shell's job control, else
# none: then its descendants are looked up by their parents. The runner has one too, so that whoever
# kills the prefix's program, which may be the supervisor itself, never leaves a command unwatched.
_SUPERVISOR = """\
exec 3>&2 4<&0 5>&1 </dev/null >/dev/null 2>&1
trap : PIPE
give_up() { printf 'pi-stack:%s\\n' "$*" >&3; exit 1; }
cwd=$1 shell=$2 command=$3 runner=$4 killer=$5
shift 5
read -r word <&4
[ "$word" = go ] || give_up no-input
[ -e "$cwd" ] || give_up no-directory
cd -- "$cwd" || give_up bad-directory
[ "$#" -eq 0 ] || export "$@"
if [ -z "$shell" ]; then
if command -v bash; then shell=bash; else shell=sh; fi
fi
command -v -- "$shell" || give_up no-shell "$shell"
session=
if command -v setsid; then session=setsid; else set -m; fi
$session sh -c "$runner" sh "$session" "$shell" "$command" "$killer" &
exec 3>&- 4<&- 5>&-
wait "$!"
"""
_RUNNER = """\
trap : PIPE
say() { printf 'pi-stack:%s\\n' "$*" >&3; }
session=$1 shell=$2 command=$3 killer=$4
[ -n "$session" ] || set -m
case $session$- in setsid* | *m*) group=- ;; *) group= ;; esac
say started
$session "$shell" -c "$command" </dev/null >&5 2>&1 3>&- 4<&- 5>&- &
child=$!
$session sh -c "$killer" sh "$child" "$group" <&4 3>&- 4<&- 5>&- &
watcher=$!
exec 5>&-
wait "$child"
code=$?
say exit "$code"
if [ -n "$group" ] && kill -0 "-$child"; then wait "$watcher"; else kill "$watcher"; fi
say left
exit "$code"
"""
_KILLER = """\
read -r word
[ "$word" != leave ] || exit 0
if [ -n "$2" ]; then
kill -9 "-$1" || kill -9 "$1"
exit
fi
all= next=$1
while [ -n "$next" ]; do
kill -s STOP $next
all="$all $next" parents=" $next " next=
if [ -r /proc/self/stat ]; then
list=$(sed 's/^\\([0-9]*\\) .*) . \\([0-9]*\\) .*/\\1 \\2/' /proc/[0-9]*/stat)
else
list=$(ps -A -o pid= -o ppid=)
fi
while read -r pid parent; do
case $parents in *" $parent "*) next="$next$pid " ;; esac
done <<END
$list
END
done
kill -9 $all
"""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KILL_SECONDS = 5.0
_LAST_WORDS_SECONDS = 0.1
_MESSAGE_BYTES = 4096


class PrefixedBashOperations:
    """Commands in the place that `prefix` leads to, in bash if there is one, else in sh.

    `shell_path` is the shell to use there instead. A command gets the variables of its call that
    this process has not, or has with another value, but never PATH: the rest is the place's own.
    """

    def __init__(self, prefix: CommandPrefix, *, shell_path: str | None = None) -> None:
        self._prefix = prefix
        self._shell_path = shell_path or ""

    async def exec(
        self,
        command: str,
        cwd: str,
        *,
        on_data: OnData,
        signal: AbortSignal,
        timeout: float | None,
        env: Mapping[str, str],
    ) -> int | None:
        """See `BashOperations.exec`. Raises ToolError if the command cannot be started there."""
        if timeout is not None:
            check_timeout(timeout)
        if signal.aborted:
            raise CommandAbortedError
        report = _Report()
        own = _own_environment()
        code = await run_process(
            self._prefix.command(
                _SUPERVISOR,
                cwd,
                self._shell_path,
                command,
                _RUNNER,
                _KILLER,
                *_assignments(env, own),
            ),
            cwd=None,
            env=own,
            on_data=on_data,
            signal=signal,
            timeout=timeout,
            watch=partial(_CarriedCommand, report=report),
        )
        if report.exit_code is None:
            return self._lost(report, code, cwd, on_data=on_data)
        return report.exit_code

    def _lost(self, report: _Report, code: int, cwd: str, *, on_data: OnData) -> None:
        """What became of a command that did not tell its exit code."""
        text = bytes(report.text)
        if report.started:
            on_data(text)
            return
        match report.problem.split(" ", 1):
            case ["no-input"]:
                raise ToolError(
                    f"{self._prefix.name} does not pass standard input on, so a command could "
                    "not be stopped. docker exec needs -i."
                )
            case ["no-directory"]:
                raise missing_directory(cwd)
            case ["bad-directory"]:
                raise ToolError(f"Cannot enter the working directory: {cwd}")
            case ["no-shell", shell]:
                raise ToolError(f"Custom shell path not found: {shell}")
            case _:
                said = text.decode("utf-8", "replace").strip()
                reason = f": {said}" if said else ""
                raise ToolError(f"{self._prefix.name} failed with exit code {code}{reason}")


class _Report(msgspec.Struct):
    """What the other side has told. `text` is what the prefix's program itself said."""

    started: bool = False
    exit_code: int | None = None
    left: bool = False
    problem: str = ""
    text: bytearray = msgspec.field(default_factory=bytearray)


class _CarriedCommand(CommandProcess):
    """The prefix's program, and through it the command."""

    keeps_stdin = True

    def __init__(
        self, loop: asyncio.AbstractEventLoop, on_data: OnData, *, report: _Report
    ) -> None:
        super().__init__(loop, on_data)
        self._report = report
        self._line = bytearray()
        self._news = asyncio.Event()
        self._kill_deadline: float | None = None

    def begin(self, stdin: bytes | None) -> None:
        self.write(b"go\n")

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd != 2:
            super().pipe_data_received(fd, data)
            return
        *lines, rest = (self._line + data).split(b"\n")
        self._line = rest[-_MESSAGE_BYTES:]
        for line in lines:
            self._take_line(line)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 2 and self._line:
            self._take_line(self._line)
            self._line = bytearray()
        super().pipe_connection_lost(fd, exc)

    def process_exited(self) -> None:
        super().process_exited()
        self._news.set()

    def _take_line(self, line: bytes | bytearray) -> None:
        report = self._report
        if not line.startswith(_NEWS):
            report.text += line + b"\n"
            del report.text[:-_MESSAGE_BYTES]
            return
        match line.removeprefix(_NEWS).decode("utf-8", "replace").split(" ", 1):
            case ["started"]:
                report.started = True
            case ["exit", code] if code.isdecimal() and int(code) < 256:
                report.exit_code = int(code)
                self._command_exited(report.exit_code)
            case ["left"]:
                report.left = True
            case words:
                report.problem = " ".join(words)
        self._news.set()

    def kill(self) -> None:
        """Have the other side kill the command: nobody holds its standard input any more."""
        if self._kill_deadline is None:
            self._kill_deadline = asyncio.get_running_loop().time() + _KILL_SECONDS
        self.close_stdin()

    async def _close(self, transport: asyncio.SubprocessTransport) -> None:
        deadline = self._kill_deadline
        if deadline is None and self._report.exit_code is not None:
            # What runs on in the background is to stay.
            self.write(b"leave\n")
            deadline = asyncio.get_running_loop().time() + _KILL_SECONDS
        if deadline is not None:
            await self._parted(deadline)
        if self._kill_deadline is not None:
            super().kill()
        elif not self._exited.done():
            # A background process holds the output, so ssh for one would wait for it.
            with suppress(ProcessLookupError):
                os.kill(self._pid, signals.SIGKILL)
        await super()._close(transport)

    async def _parted(self, deadline: float) -> None:
        while not (self._report.left or self._exited.done()) and await self._more_news(deadline):
            pass
        await asyncio.wait({self._exited}, timeout=_LAST_WORDS_SECONDS)

    async def _more_news(self, deadline: float) -> bool:
        """Wait for the next word or the program's end; False once it is too late."""
        self._news.clear()
        left = deadline - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(left):
                await self._news.wait()
        except TimeoutError:
            return False
        return True


def _own_environment() -> dict[str, str]:
    """The environment of the prefix's program, which knows where and who the other side is."""
    return {name: value for name, value in os.environ.items() if name not in SESSION_VARIABLES}


def _assignments(env: Mapping[str, str], own: Mapping[str, str]) -> list[str]:
    """The variables of a call that are not in `own`, for the shell."""
    return [
        f"{name}={value}"
        for name, value in env.items()
        if name != "PATH" and own.get(name) != value and _NAME.fullmatch(name)
    ]
