"""`AgentSessionRuntime`: the session that a host works in now, and how another takes its place.

Source: sdk spec, section 14.4.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Literal, TypeAlias

from pi_ai import UserMessage
from pi_ai.transcript import content_text
from pi_sdk.agent_session import AgentSession
from pi_sdk.errors import SdkError
from pi_session import SessionError, SessionManager, default_session_dir
from pi_session.entries import Entry, MessageEntry
from pi_session.locations import resolve_path

__all__ = ("AgentSessionRuntime", "CreateSession")

PathLike: TypeAlias = str | os.PathLike[str]

CreateSession: TypeAlias = Callable[[SessionManager], Awaitable[AgentSession]]
"""Makes the agent session for a stored one, such as `lambda m: create_agent(session_manager=m)`.

Whatever depends on the working directory is looked up anew. It closes the manager if it fails.
"""

_UNSAVED = "This session has not been saved yet. Send a message before cloning or forking it."


class AgentSessionRuntime:
    """Holds the current session. One operation replaces it at a time; others wait.

    Replacing aborts what runs, waits until that has settled, and closes the old session: its
    queue and its subscribers are gone, and no event tells of the new one. If an operation raises,
    the old session goes on. None may be called in a listener of the session.
    """

    def __init__(self, session: AgentSession, create_session: CreateSession) -> None:
        """`create_session` makes the sessions that take the place of `session`."""
        self.on_replace: Callable[[AgentSession], object] | None = None
        """Called with each new session before anything happens in it."""
        self._session = session
        self._create_session = create_session
        self._turn = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<AgentSessionRuntime {self._session!r}>"

    async def __aenter__(self) -> AgentSessionRuntime:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the current session, as its `aclose` does."""
        async with self._turn:
            await self._session.aclose()

    @property
    def session(self) -> AgentSession:
        """The current session."""
        return self._session

    async def new_session(self, parent_session: PathLike | None = None) -> None:
        """Start an empty session, in a file of the same directory or in memory as the current one.

        `parent_session` is noted in its header as it is.
        """
        async with self._turn:
            await self._replace(self._empty(parent_session))

    async def switch_session(self, path: PathLike, cwd_override: PathLike | None = None) -> None:
        """Go on with the session of a file; one that is missing or empty is a new session.

        Raises `SessionCwdError` if the directory that the session worked in is gone, and what
        `SessionManager.open` raises.
        """
        async with self._turn:
            await self._go_on_with(path, cwd_override)

    async def fork(self, entry_id: str, position: Literal["before", "at"] = "before") -> str | None:
        """Go on in a copy of the way to an entry; the copy names this session as its parent.

        "before": the entry is a message of the user, the copy ends before it, and its text is
        given, to be edited. "at": the copy ends with the entry, or with the results of the tool
        calls in it. Raises `SdkError` for another entry and for a session without a file yet.
        """
        async with self._turn:
            manager = self._session.session_manager
            entry = manager.get_entry(entry_id)
            text = None if entry is None else _user_text(entry)
            if entry is None or (position == "before" and text is None):
                raise SdkError("Invalid entry ID for forking")
            last_id = entry.parent_id if position == "before" else entry.id
            await self._replace(self._copied(last_id))
            return text if position == "before" else None

    async def clone(self) -> None:
        """Go on in a copy of the current branch. Raises `SdkError` if there is nothing to copy."""
        leaf_id = self._session.session_manager.leaf_id
        if leaf_id is None:
            raise SdkError("Cannot clone session: no current entry selected")
        await self.fork(leaf_id, "at")

    async def import_from_jsonl(self, path: PathLike, cwd_override: PathLike | None = None) -> Path:
        """Copy a session file to where the current session's is, and go on with the copy.

        Gives the path of the copy. Raises as `switch_session` does, and FileNotFoundError.
        """
        source = Path(resolve_path(path))
        _require_file(source)
        async with self._turn:
            current = self._session.session_manager
            directory = current.session_dir or default_session_dir(current.cwd)
            if source.parent == directory.absolute():
                await self._go_on_with(source, cwd_override)
                return source
            copy = _copy_into(source, directory)
            try:
                await self._replace(self._open(copy, cwd_override))
            except BaseException:
                if self._session.session_file != copy:
                    copy.unlink(missing_ok=True)
                raise
            return copy

    # --- the stored session -------------------------------------------------------------------

    def _empty(self, parent_session: PathLike | None) -> SessionManager:
        current = self._session.session_manager
        if current.session_file is None:
            return SessionManager.in_memory(current.cwd, parent_session=parent_session)
        return SessionManager.create(
            current.cwd,
            current.session_dir,
            parent_session=parent_session,
            durable=current.durable,
        )

    def _open(self, path: PathLike, cwd_override: PathLike | None) -> SessionManager:
        current = self._session.session_manager
        file = Path(resolve_path(path))
        if cwd_override is None and (not file.exists() or file.stat().st_size == 0):
            cwd_override = current.cwd
        return SessionManager.open(file, cwd_override=cwd_override, durable=current.durable)

    def _copied(self, last_id: str | None) -> SessionManager:
        """The way to `last_id` as a session of its own; the current one stays as it is."""
        current = self._session.session_manager
        if current.session_file is not None and not current.is_saved:
            raise SdkError(_UNSAVED)
        if last_id is None or current.get_entry(last_id) is None:  # old files may lack the parent
            return self._empty(current.session_file)
        return current.slice(last_id=last_id)

    # --- taking the place ---------------------------------------------------------------------

    async def _go_on_with(self, path: PathLike, cwd_override: PathLike | None) -> None:
        if Path(resolve_path(path)) == self._session.session_file:
            await self._reopen(cwd_override)
        else:
            await self._replace(self._open(path, cwd_override))

    async def _replace(self, manager: SessionManager) -> None:
        session = await self._create_session(manager)
        try:
            await self._session.aclose()
        except RuntimeError:  # in a listener, which it would wait for: it has closed nothing
            await session.aclose()
            raise
        except BaseException:
            self._take(session)  # there is no other any more
            raise
        self._take(session)

    async def _reopen(self, cwd_override: PathLike | None) -> None:
        """Read the file of the current session again, which its lock allows to one at a time."""
        file = self._session.session_file
        assert file is not None  # the caller compared it
        if file.exists():
            SessionManager.open(file, read_only=True).close()  # raises while the session goes on
        await self._session.aclose()
        self._take(await self._create_session(self._open(file, cwd_override)))

    def _take(self, session: AgentSession) -> None:
        self._session = session
        if self.on_replace is not None:
            self.on_replace(session)


def _user_text(entry: Entry) -> str | None:
    """The text of a user's message; None for another entry."""
    match entry.view:
        case MessageEntry(message=UserMessage(content=content)):
            return content_text(content, "")
        case _:
            return None


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"File not found: {path}")


def _copy_into(source: Path, directory: Path) -> Path:
    """A copy under the same name, or with `-1`, `-2`... behind it if that is taken."""
    import shutil  # here, as its import takes milliseconds

    directory.mkdir(parents=True, exist_ok=True)
    for number in range(1000):
        suffix = f"-{number}" if number else ""
        copy = directory / f"{source.stem}{suffix}{source.suffix}"
        try:
            with source.open("rb") as original, copy.open("xb") as target:
                shutil.copyfileobj(original, target)
        except FileExistsError:
            continue
        return copy
    raise SessionError(f"Too many copies of {source.name} in {directory}: remove some of them")
