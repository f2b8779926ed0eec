"""Where credentials are kept: auth.json, shared with upstream's processes, or memory.

Whoever keeps them elsewhere implements `CredentialStore`. Source: auth spec, section 5.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Protocol, TypeAlias

from msgspec.structs import replace

from pi_ai.abort import AbortSignal, abort_scope
from pi_ai.auth.config_value import ConfigValue
from pi_ai.auth.entries import (
    Entries,
    decode_credential,
    encode_credential,
    format_entries,
    list_credentials,
    parse_entries,
)
from pi_ai.auth.types import ApiKeyCredential, Credential, CredentialInfo
from pi_ai.dirlock import WAIT_SECONDS, DirectoryLock, directory_lock
from pi_ai.errors import AuthStorageError, LockHeldError, LockLostError
from pi_ai.replace_file import create_file, replace_file
from pi_ai.turns import Turns

__all__ = (
    "Change",
    "CredentialStore",
    "FileCredentialStore",
    "MemoryCredentialStore",
    "resolve_key",
)

_log = logging.getLogger("pi_ai")

Change: TypeAlias = Callable[[Credential | None], Awaitable[Credential | None]]
"""Takes a provider's stored credential, gives the one to store, or None to leave it alone."""

# Pauses between looks at a file that another program may be in the middle of writing.
_RETRY_SECONDS = (0.02, 0.04, 0.06, 0.08)
_READ_WAIT_SECONDS = 5.0
_WRITE_TRIES = 3
_GRAIN_NS = 50_000_000


class CredentialStore(Protocol):
    """Keeps at most one credential per provider.

    An implementation of one's own may keep them anywhere. It raises `AuthStorageError`, without
    secrets in the text, when it cannot; anything else it raises reaches the caller too. `signal`
    ends the waiting for others with `AbortError`, never a change that has begun.
    """

    async def read(self, provider_id: str, signal: AbortSignal | None = None) -> Credential | None:
        """The credential as it is sent: a key that is a config value is resolved.

        A key that cannot be resolved is None.
        """
        ...

    async def list(self, signal: AbortSignal | None = None) -> Sequence[CredentialInfo]:
        """Which providers have a credential. Resolves no key and runs no command."""
        ...

    async def modify(
        self, provider_id: str, change: Change, signal: AbortSignal | None = None
    ) -> Credential | None:
        """Replace a credential by what `change` makes of it; gives what is stored then.

        `change` sees the credential as it is stored and runs while no other change of this
        provider does, in this process or another: it may refresh tokens. What it raises leaves
        everything as it was.
        """
        ...

    async def delete(self, provider_id: str, signal: AbortSignal | None = None) -> None:
        """Forget a provider's credential, if there is one; waits for changes that run."""
        ...


async def resolve_key(credential: Credential | None) -> Credential | None:
    """`credential` as it is sent; see `CredentialStore.read`."""
    if not isinstance(credential, ApiKeyCredential) or credential.key is None:
        return credential
    return replace(credential, key=await ConfigValue(credential.key).resolve(credential.env))


class MemoryCredentialStore:
    """Credentials that end with the process; for tests, and for hosts that bring their own."""

    def __init__(self, credentials: Mapping[str, Credential] | None = None) -> None:
        self._entries = {
            name: encode_credential(credential) for name, credential in (credentials or {}).items()
        }
        self._turns = Turns()

    def __repr__(self) -> str:
        return f"<MemoryCredentialStore of {len(self._entries)} credentials>"

    async def read(self, provider_id: str, signal: AbortSignal | None = None) -> Credential | None:
        """See `CredentialStore.read`."""
        with abort_scope(signal):
            return await resolve_key(self._decoded(provider_id))

    async def list(self, signal: AbortSignal | None = None) -> Sequence[CredentialInfo]:
        """See `CredentialStore.list`."""
        return list_credentials(self._entries)

    async def modify(
        self, provider_id: str, change: Change, signal: AbortSignal | None = None
    ) -> Credential | None:
        """See `CredentialStore.modify`."""
        async with AsyncExitStack() as held:
            with abort_scope(signal):
                await held.enter_async_context(self._turns.take(provider_id))
            changed = await change(self._decoded(provider_id))
            if changed is not None:
                before = self._entries.get(provider_id)
                self._entries[provider_id] = encode_credential(changed, before)
            return self._decoded(provider_id)

    async def delete(self, provider_id: str, signal: AbortSignal | None = None) -> None:
        """See `CredentialStore.delete`."""
        async with AsyncExitStack() as held:
            with abort_scope(signal):
                await held.enter_async_context(self._turns.take(provider_id))
            self._entries.pop(provider_id, None)

    def _decoded(self, provider_id: str) -> Credential | None:
        return decode_credential(provider_id, self._entries.get(provider_id))


class FileCredentialStore:
    """auth.json: a file that processes of this library and of upstream read and write at once.

    Reading takes no lock and sees what others write. Writing holds the lock that upstream
    respects, for as long as a change takes. A file that is broken is never overwritten.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """`path` is the file; it and its directories are made when something is to be stored."""
        self._path = Path(os.path.abspath(path))
        self._cached: tuple[_Identity, Entries] | None = None
        self._warned = False

    def __repr__(self) -> str:
        return f"<FileCredentialStore {self._path}>"

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self._path

    async def read(self, provider_id: str, signal: AbortSignal | None = None) -> Credential | None:
        """See `CredentialStore.read`. Raises `AuthStorageError`."""
        with abort_scope(signal):
            entries = await self._current()
            return await resolve_key(decode_credential(provider_id, entries.get(provider_id)))

    async def list(self, signal: AbortSignal | None = None) -> Sequence[CredentialInfo]:
        """See `CredentialStore.list`. Raises `AuthStorageError`."""
        with abort_scope(signal):
            return list_credentials(await self._current())

    async def modify(
        self, provider_id: str, change: Change, signal: AbortSignal | None = None
    ) -> Credential | None:
        """See `CredentialStore.modify`. Raises `AuthStorageError`, `LockHeldError` after 35 s.

        What others store in the file meanwhile is kept, and wins where they respect no lock.
        """
        async with AsyncExitStack() as held:
            lock = await self._lock(held, signal)
            before = self._read(locked=True).get(provider_id)
            changed = await change(decode_credential(provider_id, before))
            if changed is None:
                return decode_credential(provider_id, before)
            text = encode_credential(changed, before)
            with suppress(LockLostError):
                return self._put(provider_id, before, text, lock)
        return await self._put_again(provider_id, before, text)

    async def delete(self, provider_id: str, signal: AbortSignal | None = None) -> None:
        """See `CredentialStore.delete`. Raises as `modify` does."""
        if not _exists(self._path):
            return
        async with AsyncExitStack() as held:
            lock = await self._lock(held, signal)
            entries = self._read(locked=True)
            if provider_id in entries:
                self._write({n: text for n, text in entries.items() if n != provider_id}, lock)

    # --- reading ------------------------------------------------------------------------------

    async def _current(self) -> Entries:
        """The entries as they are now.

        Upstream writes in place, so what is empty or broken is looked at again for a while, and
        at last under the lock.
        """
        for pause in _RETRY_SECONDS:
            with suppress(_TornError):
                return self._read()
            await asyncio.sleep(pause)
        async with AsyncExitStack() as held:
            try:
                await self._lock(held, None, wait_seconds=_READ_WAIT_SECONDS)
            except (AuthStorageError, LockHeldError) as error:
                _log.debug("Reading %s without a lock: %s", self._path, error)
            return self._read(locked=True)

    def _read(self, *, locked: bool = False) -> Entries:
        """The entries; none without a file. Raises `AuthStorageError` for a broken one.

        Unless it is `locked`, that is `_TornError`, as for an empty file: it may be half written.
        """
        try:
            identity = _identity(os.stat(self._path))
            if self._cached is not None and self._cached[0] == identity:
                return self._cached[1]
            data = self._path.read_bytes()
            status = os.stat(self._path)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise _failed("read", self._path, error) from None
        if not data and not locked:
            raise _TornError
        try:
            entries = parse_entries(data)
        except ValueError as error:
            if not locked:
                raise _TornError from None
            raise AuthStorageError(
                f"Failed to parse {self._path}: {error}. Repair the file, or remove it."
            ) from None
        self._warn_of_readers(status)
        # A second change within the clock's grain would leave the same identity.
        if _identity(status) == identity and time.time_ns() - status.st_mtime_ns > _GRAIN_NS:
            self._cached = (identity, entries)
        return entries

    def _warn_of_readers(self, status: os.stat_result) -> None:
        mode = stat.S_IMODE(status.st_mode)
        if mode & 0o077 and not self._warned and os.name != "nt":
            self._warned = True
            _log.warning(
                "%s can be read by others (mode %03o). Run: chmod 600 %s",
                self._path,
                mode,
                self._path,
            )

    # --- writing ------------------------------------------------------------------------------

    async def _lock(
        self,
        held: AsyncExitStack,
        signal: AbortSignal | None,
        *,
        wait_seconds: float = WAIT_SECONDS,
    ) -> DirectoryLock:
        """Take the lock until `held` ends; upstream wants the file to be there for that."""
        try:
            create_file(self._path, b"{}")
            with abort_scope(signal):
                lock = directory_lock(self._path, wait_seconds=wait_seconds)
                return await held.enter_async_context(lock)
        except LockHeldError:
            raise
        except OSError as error:
            raise _failed("lock", self._path, error) from None

    def _put(
        self, provider_id: str, before: bytes | None, text: bytes, lock: DirectoryLock
    ) -> Credential | None:
        """Store an entry unless it is no longer what it was `before`; gives what is stored then.

        Raises `LockLostError` if the lock is another's now.
        """
        entries = self._read(locked=True)
        now = entries.get(provider_id)
        if now != before:
            _log.warning("%s: %s was changed by another program", self._path, provider_id)
            return decode_credential(provider_id, now)
        self._write({**entries, provider_id: text}, lock)
        return decode_credential(provider_id, text)

    async def _put_again(
        self, provider_id: str, before: bytes | None, text: bytes
    ) -> Credential | None:
        """Store an entry after the lock was lost: what it holds may be the only new token."""
        for _ in range(_WRITE_TRIES):
            _log.warning("%s: the lock was taken away; writing again", self._path)
            async with AsyncExitStack() as held:
                lock = await self._lock(held, None)
                with suppress(LockLostError):
                    return self._put(provider_id, before, text, lock)
        raise AuthStorageError(f"Failed to write {self._path}: its lock is taken away every time")

    def _write(self, entries: Entries, lock: DirectoryLock) -> None:
        data = format_entries(entries)
        lock.check()
        try:
            replace_file(self._path, data)
        except OSError as error:
            raise _failed("write", self._path, error) from None
        self._cached = None


class _TornError(Exception):
    """The file is not whole; it may be being written."""


_Identity: TypeAlias = tuple[int, int, int, int, int]


def _identity(status: os.stat_result) -> _Identity:
    """Tells one state of a file from another."""
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _exists(path: Path) -> bool:
    try:
        os.stat(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _failed("read", path, error) from None
    return True


def _failed(action: str, path: Path, error: OSError) -> AuthStorageError:
    return AuthStorageError(f"Failed to {action} {path}: {error.strerror or error}")
