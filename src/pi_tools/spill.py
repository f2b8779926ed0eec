"""A file that takes all of a long output while the event loop goes on.

Source: tools spec, section 7.4.
"""

from __future__ import annotations

import asyncio
import os

from pi_tools.os_errors import FileSystemError, file_system_errors
from pi_tools.uninterrupted import finish, in_thread

__all__ = ("SpillFile",)

_HIGH_WATER_BYTES = 4 * 1024 * 1024


class SpillFile:
    """A new private file in the temporary directory; written in a thread, in order.

    A failure to write does not disturb the writer's caller: it is kept in `error`, and what
    follows is dropped. Close it with `aclose`.
    """

    def __init__(self) -> None:
        import tempfile  # here, as few outputs are long

        name = f"pi-bash-{os.urandom(8).hex()}.log"
        self.path = os.path.join(tempfile.gettempdir(), name)
        self.error: FileSystemError | None = None
        self._descriptor: int | None = None
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._writer: asyncio.Task[None] | None = None
        self._room: asyncio.Future[None] | None = None

    def write(self, data: bytes) -> asyncio.Future[None] | None:
        """Append `data`. Returns a future to wait for if the disk does not keep up."""
        if self.error is not None:
            return None
        loop = asyncio.get_running_loop()
        self._pending.append(data)
        self._pending_bytes += len(data)
        if self._writer is None:
            self._writer = loop.create_task(self._drain())
        if self._pending_bytes < _HIGH_WATER_BYTES:
            return None
        if self._room is None:
            self._room = loop.create_future()
        return self._room

    async def aclose(self) -> None:
        """Write what is left and close the file."""
        try:
            if self._writer is not None:
                await finish(self._writer)
        finally:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    async def _drain(self) -> None:
        try:
            while self._pending:
                batch, self._pending = self._pending, []
                self._pending_bytes = 0
                await in_thread(self._append, batch)
                self._make_room()
        except FileSystemError as error:
            self.error = error
            self._pending.clear()
        finally:
            self._make_room()
            self._writer = None

    def _make_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._room = None

    def _append(self, batch: list[bytes]) -> None:
        if self._descriptor is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            with file_system_errors("open", self.path):
                self._descriptor = os.open(self.path, flags, 0o600)
        with file_system_errors("write"):
            for data in batch:  # not joined: copying them would take as long as writing them
                view = memoryview(data)
                while view:
                    view = view[os.write(self._descriptor, view) :]
