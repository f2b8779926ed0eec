"""Runs a command for its output, in a process group of its own. Source: auth spec, section 8."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress

from pi_ai.turns import Turns

__all__ = ("TIMEOUT_SECONDS", "CommandOutputs", "command_outputs", "run_shell_command")

TIMEOUT_SECONDS = 10.0
"""How long a command may run."""

_REAP_SECONDS = 1.0


async def run_shell_command(
    command: str, *, timeout_seconds: float = TIMEOUT_SECONDS
) -> str | None:
    """What `command` prints, trimmed; None if it fails, prints nothing or takes too long.

    It runs in the shell, with this process's environment and nothing to read. All processes that
    it started are killed when its time is up, and when the task is cancelled.
    """
    run = _Run(command, timeout_seconds)
    try:
        return await asyncio.to_thread(run.output)
    except asyncio.CancelledError:
        run.kill()
        raise


class CommandOutputs:
    """The outputs of commands, each run once however many ask; failures are kept too."""

    def __init__(self) -> None:
        self._turns = Turns()
        self._outputs: dict[str, str | None] = {}

    async def get(self, command: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> str | None:
        """The output of `command`; see `run_shell_command`."""
        async with self._turns.take(command):
            if command not in self._outputs:
                output = await run_shell_command(command, timeout_seconds=timeout_seconds)
                self._outputs[command] = output
            return self._outputs[command]

    def clear(self) -> None:
        """Forget all outputs, so that the commands run again."""
        self._outputs.clear()


class _Run:
    """One run of a command: `output` blocks a thread, `kill` ends it from another."""

    def __init__(self, command: str, timeout_seconds: float) -> None:
        self._command = command
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._killed = False

    def __repr__(self) -> str:  # commands may hold secrets
        return f"<_Run {'killed' if self._killed else 'alive'}>"

    def output(self) -> str | None:
        """What the command printed, trimmed, or None."""
        try:
            process = self._start()
        except (OSError, ValueError):  # no shell, or a NUL in the command
            return None
        if process is None:
            return None
        try:
            printed, _ = process.communicate(timeout=self._timeout_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            self._reap(process)
            return None
        text = printed.decode("utf-8", "replace").strip()
        return text or None if process.returncode == 0 else None

    def kill(self) -> None:
        """Kill the command and all it started; it does not start if it has not."""
        with self._lock:
            self._killed = True
            process = self._process
        if process is None or process.returncode is not None:
            return
        if sys.platform == "win32":
            stop = ["taskkill", "/F", "/T", "/PID", str(process.pid)]
            subprocess.run(stop, check=False, capture_output=True)
            return
        with suppress(ProcessLookupError, PermissionError):
            # The group outlives its leader, whose output others may still hold open.
            os.killpg(process.pid, signal.SIGKILL)

    def _start(self) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self._killed:
                return None
            self._process = subprocess.Popen(
                _shell(self._command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            return self._process

    def _reap(self, process: subprocess.Popen[bytes]) -> None:
        """Give the killed command's pipe and process back; a stuck one is left to the system."""
        if process.stdout is not None:
            process.stdout.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_REAP_SECONDS)


def _shell(command: str) -> list[str] | str:
    if sys.platform != "win32":
        return ["/bin/sh", "-c", command]
    bash = shutil.which("bash")
    if bash is not None:
        return [bash, "-c", command]
    return f'{os.environ.get("COMSPEC", "cmd.exe")} /d /s /c "{command}"'


command_outputs = CommandOutputs()
"""The outputs of all commands of this process that run once."""
