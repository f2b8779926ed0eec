"""The `bash` tool: a shell command. Source: tools spec, section 7."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import msgspec
from msgspec import Struct

from pi_agent.types import AgentTool, ToolContext, ToolError, ToolResult
from pi_ai import AbortError, JsonObject, TextContent
from pi_ai.json_text import js_json
from pi_tools.arguments import read_arguments
from pi_tools.encoding import well_formed
from pi_tools.operations import BashOperations, LocalBashOperations
from pi_tools.output import CommandOutput, OutputView
from pi_tools.paths import absolute_cwd, working_directory
from pi_tools.process import CommandAbortedError, CommandTimeoutError
from pi_tools.settled import settled
from pi_tools.truncate import DEFAULT_MAX_BYTES, DEFAULT_MAX_LINES

__all__ = ("SESSION_VARIABLES", "BashSpawn", "create_bash_tool")

_DESCRIPTION = (
    "Run a bash command in the working directory; gives what it prints to stdout and stderr. Only "
    f"the last {DEFAULT_MAX_LINES} lines or {DEFAULT_MAX_BYTES // 1024}KB are shown, whichever is "
    "less; if output was cut, a temporary file holds all of it. There is no time limit unless "
    "you set timeout."
)
_PARAMETERS: JsonObject = {
    "type": "object",
    "required": ["command"],
    "properties": {
        "command": {"type": "string", "description": "The command, as you would type it in bash"},
        "timeout": {
            "type": "number",
            "description": "Seconds after which the command is killed; no limit by default",
        },
    },
}
_GUIDELINE = (
    "In bash, the variables PI_PROVIDER, PI_MODEL, PI_REASONING_LEVEL, PI_SESSION_ID and "
    "PI_SESSION_FILE tell the current model and session."
)
SESSION_VARIABLES = (
    "PI_SESSION_ID",
    "PI_SESSION_FILE",
    "PI_PROVIDER",
    "PI_MODEL",
    "PI_REASONING_LEVEL",
)
"""What tells a command about its session and model: never inherited."""

_UPDATE_SECONDS = 0.1


class BashSpawn(msgspec.Struct, frozen=True):
    """What is about to run: the command, with the prefix if there is one, where, and with what."""

    command: str
    cwd: str
    env: dict[str, str]


def create_bash_tool(
    cwd: str | os.PathLike[str],
    *,
    operations: BashOperations | None = None,
    command_prefix: str | None = None,
    shell_path: str | None = None,
    expose_session_environment: bool = True,
    spawn_hook: Callable[[BashSpawn], BashSpawn] | None = None,
    bin_dir: str | os.PathLike[str] | None = None,
) -> AgentTool:
    """The `bash` tool for commands that run in `cwd`.

    `command_prefix` goes on a line before every command. `shell_path` is the local shell, bash
    by default. `expose_session_environment` tells commands the session and model in PI_*
    variables. `spawn_hook` may replace what runs; what it raises fails the call. `bin_dir` goes
    in front of PATH.
    """
    tool = _BashTool(
        cwd=absolute_cwd(cwd),
        operations=LocalBashOperations(shell_path) if operations is None else operations,
        command_prefix=command_prefix,
        expose_session_environment=expose_session_environment,
        spawn_hook=spawn_hook,
        bin_dir=None if bin_dir is None else absolute_cwd(bin_dir),
    )
    return AgentTool(
        name="bash",
        description=_DESCRIPTION,
        parameters=_PARAMETERS,
        execute=tool.execute,
        constrained_sampling={"type": "json_schema", "strict": "prefer"},
        prompt_snippet="Run a shell command",
        prompt_guidelines=(_GUIDELINE,) if expose_session_environment else (),
    )


class _Arguments(msgspec.Struct):
    command: str
    timeout: int | float | None = None


class _BashTool(Struct, frozen=True, kw_only=True):
    cwd: str
    operations: BashOperations
    command_prefix: str | None
    expose_session_environment: bool
    spawn_hook: Callable[[BashSpawn], BashSpawn] | None
    bin_dir: str | None

    async def execute(self, arguments: JsonObject, ctx: ToolContext) -> ToolResult:
        request = read_arguments(arguments, _Arguments)
        if ctx.signal.aborted:
            raise ToolError("Command aborted")
        spawn = self._spawn(request.command, ctx)
        output = CommandOutput()
        updates = _Updates(ctx.on_update, output)

        def on_data(data: bytes) -> asyncio.Future[None] | None:
            room = output.feed(data)
            updates.changed()
            return room

        failure: Exception | None = None
        exit_code: int | None = None
        try:
            updates.start()
            exit_code = await settled(
                self.operations.exec(
                    spawn.command,
                    spawn.cwd,
                    on_data=on_data,
                    signal=ctx.signal,
                    timeout=request.timeout,
                    env=spawn.env,
                )
            )
        except Exception as error:  # noqa: BLE001  # raised again by _outcome
            failure = error
        finally:
            updates.stop()
            await output.aclose()
        updates.flush()
        return _outcome(output.view(), exit_code, failure)

    def _spawn(self, command: str, ctx: ToolContext) -> BashSpawn:
        if self.command_prefix:
            command = f"{self.command_prefix}\n{command}"
        spawn = BashSpawn(
            well_formed(command), working_directory(ctx.host_cwd, self.cwd), self._environment(ctx)
        )
        return spawn if self.spawn_hook is None else self.spawn_hook(spawn)

    def _environment(self, ctx: ToolContext) -> dict[str, str]:
        env = dict(os.environ)
        if self.bin_dir is not None:
            path = env.get("PATH", os.defpath)
            if self.bin_dir not in path.split(os.pathsep):
                env["PATH"] = f"{self.bin_dir}{os.pathsep}{path}"
        for name in SESSION_VARIABLES:
            env.pop(name, None)
        if self.expose_session_environment:
            model = ctx.model
            values = (
                ctx.session_id,
                None if ctx.session_file is None else str(ctx.session_file),
                None if model is None else model.provider,
                None if model is None else model.id,
                ctx.thinking_level,
            )
            env.update((n, v) for n, v in zip(SESSION_VARIABLES, values, strict=True) if v)
        return env


class _Updates:
    """Sends the output so far, at most once in a tenth of a second."""

    def __init__(self, send: Callable[[ToolResult], None], output: CommandOutput) -> None:
        self._send = send
        self._output = output
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._pending = False
        self._stopped = False

    def start(self) -> None:
        """Tell that the command is about to run."""
        self._send(ToolResult([]))

    def changed(self) -> None:
        """There is more output: send it now, or when the last update is old enough."""
        if self._stopped:
            return
        if self._timer is not None:
            self._pending = True
            return
        self._timer = self._loop.call_later(_UPDATE_SECONDS, self._tick)
        self._send_view()

    def stop(self) -> None:
        """Send nothing more by itself."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def flush(self) -> None:
        """Send what has not been sent."""
        if self._pending:
            self._send_view()

    def _tick(self) -> None:
        self._timer = None
        if self._pending:
            self.changed()

    def _send_view(self) -> None:
        self._pending = False
        view = self._output.view()
        self._send(ToolResult([TextContent(view.truncation.content)], details=view.details()))


def _outcome(view: OutputView, exit_code: int | None, failure: Exception | None) -> ToolResult:
    """The result, or the error to raise, with the output in both. Source: 7.5 and 7.6."""
    if failure is not None:
        shown = view.text(when_empty="")
        reason = _failure_text(failure)
        if reason is None and not shown:
            raise failure
        text = str(failure) if reason is None else reason
        raise ToolError(f"{shown}\n\n{text}" if shown else text) from failure
    text = view.text()
    if exit_code is None:
        raise ToolError(f"{text}\n\nCommand terminated without an exit code")
    if exit_code != 0:
        text = f"{text}\n\nCommand exited with code {exit_code}"
    result = ToolResult.text(text, is_error=exit_code != 0)
    if details := view.details():
        result.details = details
    return result


def _failure_text(failure: Exception) -> str | None:
    """What to say about an abort or a timeout; None for any other failure."""
    if isinstance(failure, CommandAbortedError | AbortError) or str(failure) == "aborted":
        return "Command aborted"
    if isinstance(failure, CommandTimeoutError):
        text = f"Command timed out after {js_json(failure.seconds)} seconds"
        if failure.exit_code is None or failure.exited_after is None:
            return text
        return (
            f"{text}. The shell exited with code {failure.exit_code} after "
            f"{js_json(round(failure.exited_after, 1))} seconds, but background processes it "
            "started kept writing output until the timeout."
        )
    if str(failure).startswith("timeout:"):
        return f"Command timed out after {str(failure).removeprefix('timeout:')} seconds"
    return None
