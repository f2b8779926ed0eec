"""Which shell runs a command, and how it is told the command.

Source: tools spec, section 7.2.
"""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

from pi_agent.types import ToolError

__all__ = ("Shell", "find_shell")


class Shell(NamedTuple):
    """A shell program. `reads_stdin`: it takes the command there, not as an argument."""

    path: str
    reads_stdin: bool = False

    def argv(self, command: str) -> list[str]:
        """Program and arguments that run `command`."""
        return [self.path, "-s"] if self.reads_stdin else [self.path, "-c", command]


def find_shell(shell_path: str | None = None) -> Shell:
    """The shell at `shell_path`, or the system's bash, or else sh.

    Raises ToolError if there is none.
    """
    if shell_path is not None:
        if not os.path.exists(shell_path):
            raise ToolError(f"Custom shell path not found: {shell_path}")
        return _shell(shell_path)
    if sys.platform == "win32":
        return _windows_shell()
    if os.path.exists("/bin/bash"):
        return Shell("/bin/bash")
    return Shell(_which("bash") or "sh")


def _which(name: str) -> str | None:
    import shutil  # here, as its import takes milliseconds and few systems need it

    return shutil.which(name)


def _windows_shell() -> Shell:
    tried: list[str] = []
    for variable in ("ProgramFiles", "ProgramFiles(x86)"):
        if folder := os.environ.get(variable):
            tried.append(os.path.join(folder, "Git", "bin", "bash.exe"))
            if os.path.exists(tried[-1]):
                return Shell(tried[-1])
    if found := _which("bash.exe"):
        return _shell(found)
    looked = "".join(f"\n  {path}" for path in tried)
    raise ToolError(
        "No bash shell found. Install Git for Windows, put bash.exe on PATH, "
        f"or set a shell path. Looked on PATH and at:{looked}"
    )


def _shell(path: str) -> Shell:
    # The launcher of the Windows Subsystem for Linux mangles arguments.
    name = path.lower().replace("/", "\\")
    launcher = name.endswith(("\\system32\\bash.exe", "\\sysnative\\bash.exe"))
    return Shell(path, reads_stdin=launcher)
