"""Operating system errors in the words the model knows: `CODE: text, op '/absolute/path'`.

Source: tools spec, section 3.6.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Generator
from contextlib import contextmanager

from pi_agent.types import ToolError

__all__ = ("FileSystemError", "error_code", "file_system_errors", "tool_errors")

_TEXTS = {
    "ENOENT": "no such file or directory",
    "EACCES": "permission denied",
    "EISDIR": "illegal operation on a directory",
    "ENOTDIR": "not a directory",
    "EEXIST": "file already exists",
    "EPERM": "operation not permitted",
    "ENOSPC": "no space left on device",
    "EROFS": "read-only file system",
    "ELOOP": "too many symbolic links encountered",
    "ENAMETOOLONG": "name too long",
    "EMFILE": "too many open files",
    "EBUSY": "resource busy or locked",
}


class FileSystemError(ToolError):
    """A file operation failed. `code` is the error's name, such as `ENOENT`."""

    def __init__(self, code: str, operation: str, path: str | None = None) -> None:
        text = _TEXTS.get(code) or _system_text(code)
        where = "" if path is None else f" '{path}'"
        super().__init__(f"{code}: {text}, {operation}{where}")
        self.code = code


def error_code(error: BaseException) -> str | None:
    """The name of the system error behind `error`, such as `ENOENT`, or None."""
    if isinstance(error, FileSystemError):
        return error.code
    if isinstance(error, OSError) and error.errno is not None:
        return errno.errorcode.get(error.errno, f"E{error.errno}")
    return None


@contextmanager
def file_system_errors(operation: str, path: str | None = None) -> Generator[None]:
    """Turn an OSError, or a path no system call takes, into a `FileSystemError`."""
    try:
        yield
    except OSError as error:
        raise FileSystemError(error_code(error) or "EIO", operation, path) from error
    except ValueError as error:
        # A NUL in a path.
        raise FileSystemError("EINVAL", operation, path) from error


@contextmanager
def tool_errors() -> Generator[None]:
    """Word an OSError that operations let through as the local ones do."""
    try:
        yield
    except OSError as error:
        code = error_code(error)
        if code is None:
            raise ToolError(str(error)) from error
        name: object = error.filename
        where = f" '{name}'" if isinstance(name, str) else ""
        raise ToolError(f"{code}: {_TEXTS.get(code) or _system_text(code)}{where}") from error


def _system_text(code: str) -> str:
    number: object = getattr(errno, code, None)
    return os.strerror(number).lower() if isinstance(number, int) else "unknown error"
