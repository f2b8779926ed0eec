"""The tools in another place: a container, another machine, another root directory."""

from __future__ import annotations

from collections.abc import Sequence

from pi_tools.factory import ToolOptions
from pi_tools.prefix import CommandPrefix
from pi_tools.prefixed_bash import PrefixedBashOperations
from pi_tools.prefixed_files import PrefixedFileOperations
from pi_tools.prefixed_search import PrefixedSearchOperations

__all__ = ("over_prefix",)


def over_prefix(
    argv: Sequence[str], *, shell_string: bool = False, timeout: float | None = 300
) -> ToolOptions:
    """Options for tools that do everything through a command prefix.

    `argv` are the words before a program that run it there: `["docker", "exec", "-i", "box"]`.
    `shell_string` is for a prefix that hands one line to a shell there: `["ssh", "host"]`.
    `timeout` is how many seconds one access to a file, or one search, may take; 0 and None are no
    limit. There has to be a POSIX `sh` with the usual programs, and standard input has to go
    through. Raises ValueError for a prefix that is empty or no sequence of words, and for a timeout
    that is none.
    """
    prefix = CommandPrefix(argv, shell_string)
    searches = PrefixedSearchOperations(prefix, timeout=timeout)
    return {
        "read": {"operations": PrefixedFileOperations(prefix, timeout=timeout)},
        "bash": {"operations": PrefixedBashOperations(prefix), "bin_dir": None},
        "edit": {"operations": PrefixedFileOperations(prefix, writable=True, timeout=timeout)},
        "write": {"operations": PrefixedFileOperations(prefix, timeout=timeout)},
        "grep": {"operations": searches},
        "find": {"operations": searches},
        "ls": {"operations": searches},
    }
