"""The tools' way to the outside: protocols to replace, and the local file system and shell.

All paths are absolute. A method may raise anything; the error's text reaches the model, and an
OSError or `FileSystemError` shows its code. File methods may be called for several files at once.
Methods need not be asynchronous; one that is not must not block.
Source: tools spec, sections 4 to 7.
"""

from __future__ import annotations

import errno
import math
import os
import stat
from collections.abc import AsyncIterator, Mapping
from typing import Protocol, runtime_checkable

from pi_agent.types import MaybeAwaitable, ToolError
from pi_ai import AbortSignal
from pi_tools.file_page import FilePage
from pi_tools.file_reader import FileReader, check_kind
from pi_tools.image_types import SNIFF_BYTES, image_mime_type
from pi_tools.os_errors import file_system_errors
from pi_tools.process import CommandAbortedError, OnData, run_process
from pi_tools.shell import find_shell
from pi_tools.uninterrupted import in_thread

__all__ = (
    "BashOperations",
    "DetectsImages",
    "EditOperations",
    "FileOperations",
    "KnowsFileSize",
    "LocalBashOperations",
    "LocalFileOperations",
    "PagesFiles",
    "ReadOperations",
    "StreamsFiles",
    "WriteOperations",
    "check_timeout",
    "missing_directory",
)

_MAX_TIMEOUT_SECONDS = 2147483.647
# So that opening a pipe or a device never blocks a thread for good.
_OPEN_FLAGS = (
    getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
)


class ReadOperations(Protocol):
    """What `read` needs. See also `DetectsImages`, `StreamsFiles` and `KnowsFileSize`."""

    def access(self, path: str) -> MaybeAwaitable[None]:
        """Raise if the file cannot be read."""
        ...

    def read_file(self, path: str) -> MaybeAwaitable[bytes]:
        """The whole file."""
        ...


@runtime_checkable
class DetectsImages(Protocol):
    """Optional for `read`; without it no file is taken for an image."""

    def detect_image_mime_type(self, path: str) -> MaybeAwaitable[str | None]:
        """The MIME type if the file is an image, else None."""
        ...


@runtime_checkable
class StreamsFiles(Protocol):
    """Optional for `read`; without it whole files are held in memory."""

    def create_read_stream(self, path: str, signal: AbortSignal) -> AsyncIterator[bytes]:
        """The file in pieces of any size."""
        ...


@runtime_checkable
class KnowsFileSize(Protocol):
    """Optional for `read`; without it the size of a streamed binary file is not told."""

    def file_size(self, path: str) -> MaybeAwaitable[int | None]:
        """The size in bytes, or None for what has none, such as a pipe."""
        ...


@runtime_checkable
class PagesFiles(Protocol):
    """Optional for `read`; without it all of a file comes to where its lines are counted."""

    def read_page(
        self, path: str, start: int, limit: int | None
    ) -> MaybeAwaitable[FilePage | bytes | None]:
        """`limit` lines from line `start`, counted from 0.

        Or the whole file, if that is small, or None to have it streamed.
        """
        ...


class WriteOperations(Protocol):
    """What `write` needs. Calls are never cancelled halfway."""

    def mkdir(self, path: str) -> MaybeAwaitable[None]:
        """Make the directory and its parents; fine if it exists."""
        ...

    def write_file(self, path: str, data: bytes) -> MaybeAwaitable[None]:
        """Replace the file's content, or make the file."""
        ...


class EditOperations(Protocol):
    """What `edit` needs. Calls are never cancelled halfway."""

    def access(self, path: str) -> MaybeAwaitable[None]:
        """Raise if the file cannot be read and written."""
        ...

    def read_file(self, path: str) -> MaybeAwaitable[bytes]:
        """The whole file."""
        ...

    def write_file(self, path: str, data: bytes) -> MaybeAwaitable[None]:
        """Replace the file's content."""
        ...


@runtime_checkable
class FileOperations(Protocol):
    """All that reading, writing and editing can use, in one: the local and the prefixed ones."""

    async def access(self, path: str) -> None:
        """Raise if the file cannot be read, or, for edits, written."""
        ...

    async def read_file(self, path: str) -> bytes:
        """The whole file."""
        ...

    async def detect_image_mime_type(self, path: str) -> str | None:
        """The MIME type if the file is an image, else None."""
        ...

    def create_read_stream(self, path: str, signal: AbortSignal) -> AsyncIterator[bytes]:
        """The file in pieces of any size."""
        ...

    async def file_size(self, path: str) -> int | None:
        """The size in bytes, or None for what has none, such as a pipe."""
        ...

    async def mkdir(self, path: str) -> None:
        """Make the directory and its parents; fine if it exists."""
        ...

    async def write_file(self, path: str, data: bytes) -> None:
        """Replace the file's content, or make the file."""
        ...

    async def real_path(self, path: str) -> str:
        """`path` with every link in it resolved; it need not exist."""
        ...


class BashOperations(Protocol):
    """What `bash` needs."""

    def exec(
        self,
        command: str,
        cwd: str,
        *,
        on_data: OnData,
        signal: AbortSignal,
        timeout: float | None,
        env: Mapping[str, str],
    ) -> MaybeAwaitable[int | None]:
        """Run `command` and pass stdout and stderr to `on_data` as they come.

        Returns the exit code, 128+n after signal n, or None if it ended without one. Stops on
        `signal` and after `timeout` seconds with CommandAbortedError and CommandTimeoutError, or
        any error whose text is `aborted` or `timeout:<seconds>`.
        """
        ...


class LocalFileOperations:
    """Files of this machine: `ReadOperations` and its options, and `WriteOperations`.

    `writable`: `access` also asks for permission to write, as `EditOperations` wants it.
    """

    def __init__(self, *, writable: bool = False) -> None:
        self._mode = os.R_OK | os.W_OK if writable else os.R_OK

    async def access(self, path: str) -> None:
        """Raise FileSystemError if the file is missing or may not be read (and written)."""
        await in_thread(self._access, path)

    async def read_file(self, path: str) -> bytes:
        """The whole of a regular file."""
        return await in_thread(self._read_file, path)

    async def detect_image_mime_type(self, path: str) -> str | None:
        """What a regular file's first bytes say."""
        return await in_thread(self._sniff, path)

    async def file_size(self, path: str) -> int | None:
        """The size of a regular file."""
        return await in_thread(self._file_size, path)

    async def create_read_stream(self, path: str, signal: AbortSignal) -> AsyncIterator[bytes]:
        """A regular file up to the size it has now."""
        reader = FileReader(path, self._open_regular)
        try:
            while not reader.at_end:
                if data := await in_thread(reader.read):
                    yield data
        finally:
            reader.close()

    async def mkdir(self, path: str) -> None:
        """Make the directory and its parents."""
        await in_thread(self._mkdir, path)

    async def write_file(self, path: str, data: bytes) -> None:
        """Write in place: links are followed, mode and identity of an existing file stay."""
        await in_thread(self._write_file, path, data)

    async def real_path(self, path: str) -> str:
        """`path` with every link in it resolved; it need not exist."""
        return await in_thread(os.path.realpath, path)

    # The four ways to the file system; all but these go through them.

    def _open(self, path: str, flags: int) -> int:
        return os.open(path, flags, 0o666)

    def _stat(self, path: str) -> os.stat_result:
        return os.stat(path)

    def _permitted(self, path: str, mode: int) -> bool:
        return os.access(path, mode)

    def _make_directories(self, path: str) -> None:
        _make_directories(path)

    def _access(self, path: str) -> None:
        with file_system_errors("access", path):
            self._stat(path)
            if not self._permitted(path, self._mode):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    def _open_regular(self, path: str, flags: int) -> int:
        """A descriptor of a file, or of a directory, which fails later in the usual words.

        Raises ToolError for what may never answer, or has no end, such as a pipe or /dev/zero.
        It is looked at before, since opening a pipe or a device can be noticed, and after.
        """
        try:
            check_kind(self._stat(path), path)
        except FileNotFoundError:
            if not flags & os.O_CREAT:
                raise
        descriptor = self._open(path, flags | _OPEN_FLAGS)
        try:
            check_kind(os.fstat(descriptor), path)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _read_file(self, path: str) -> bytes:
        with file_system_errors("open", path):
            descriptor = self._open_regular(path, os.O_RDONLY)
        with file_system_errors("read"):
            try:
                with open(descriptor, "rb", buffering=0, closefd=False) as file:
                    return file.read()
            finally:
                os.close(descriptor)

    def _sniff(self, path: str) -> str | None:
        with file_system_errors("open", path):
            if not stat.S_ISREG(self._stat(path).st_mode):
                return None
        reader = FileReader(path, self._open_regular)
        try:
            return image_mime_type(reader.read(SNIFF_BYTES))
        finally:
            reader.close()

    def _file_size(self, path: str) -> int | None:
        with file_system_errors("stat", path):
            info = self._stat(path)
        return info.st_size if stat.S_ISREG(info.st_mode) else None

    def _mkdir(self, path: str) -> None:
        with file_system_errors("mkdir", path):
            self._make_directories(path)

    def _write_file(self, path: str, data: bytes) -> None:
        with file_system_errors("open", path):
            descriptor = self._open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            view = memoryview(data)
            with file_system_errors("write"):
                while view:
                    view = view[os.write(descriptor, view) :]
        finally:
            os.close(descriptor)


class LocalBashOperations:
    """Commands on this machine: each in a process group of its own, without input.

    `shell_path` is the shell to use instead of bash.
    """

    def __init__(self, shell_path: str | None = None) -> None:
        self._shell_path = shell_path

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
        """See `BashOperations.exec` and `run_process`. Raises ToolError if it cannot start."""
        if timeout is not None:
            check_timeout(timeout)
        if signal.aborted:
            raise CommandAbortedError
        shell = find_shell(self._shell_path)
        _check_directory(cwd)
        return await run_process(
            shell.argv(command),
            cwd=cwd,
            env=env,
            on_data=on_data,
            signal=signal,
            timeout=timeout,
            stdin=command.encode() if shell.reads_stdin else None,
        )


def _make_directories(path: str) -> None:
    # Not os.makedirs, which calls itself for each level of a path the model may choose.
    missing: list[str] = []
    while True:
        try:
            os.stat(path)
            break
        except FileNotFoundError:
            missing.append(path)
            path = os.path.dirname(path)
    for each in reversed(missing) if missing else (path,):
        try:
            os.mkdir(each)
        except OSError:
            if not os.path.isdir(each):
                raise


def check_timeout(seconds: float) -> None:
    """Raise ToolError for a time limit that is none. Source: tools spec, section 7.2."""
    if not math.isfinite(seconds) or seconds <= 0:
        raise ToolError("Invalid timeout: must be a finite number of seconds")
    if seconds > _MAX_TIMEOUT_SECONDS:
        raise ToolError(f"Invalid timeout: maximum is {_MAX_TIMEOUT_SECONDS} seconds")


def _check_directory(cwd: str) -> None:
    if not os.path.exists(cwd):
        raise missing_directory(cwd)


def missing_directory(cwd: str) -> ToolError:
    """The error for a command whose working directory does not exist."""
    return ToolError(f"Working directory does not exist: {cwd}\nCannot execute bash commands.")
