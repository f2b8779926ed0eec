"""`SessionManager`: one session, in a file or in memory, from its making to its closing.

Reads and moves are in `tree`, the append methods in `appends`. Source: session spec, sections 6,
8 and 11.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import NoReturn, SupportsIndex, TypeAlias

from pi_ai.ids import uuid7
from pi_ai.types import JsonObject, now_ms
from pi_session.appends import SessionAppends
from pi_session.codec import (
    CURRENT_VERSION,
    dump_entries,
    dump_header,
    entries_from_objects,
    parse_lines,
    read_header,
)
from pi_session.derive import branched_entries, linear_entries
from pi_session.entries import Entry, KnownEntry, SessionHeader, new_entry_id
from pi_session.errors import SessionError, SessionFormatError, SessionReadOnlyError
from pi_session.listing import find_most_recent_session
from pi_session.loading import LoadedSession, load_session, open_for_writing, parse_session
from pi_session.locations import (
    check_session_id,
    default_session_dir,
    expand_path,
    file_stamp,
    format_timestamp,
    resolve_path,
    session_file_name,
)
from pi_session.plain_text import counted, one_line
from pi_session.slicing import sliced_entries
from pi_session.store import SessionFile

__all__ = ("SessionManager",)

PathLike: TypeAlias = str | os.PathLike[str]


class SessionManager(SessionAppends):
    """A session. Make one with `create`, `open`, `continue_recent`, `in_memory` or `fork_from`.

    A file comes into being with the first user or assistant message. From then on, or from
    `open` on, this manager is its only writer; `close()`, or leaving a `with` block, ends that.
    All methods block and none may run at the same time as another.
    """

    def __init__(self, cwd: str, session_dir: Path | None, *, durable: bool = False) -> None:
        """For the class methods only: a manager that holds no session yet."""
        self._file: SessionFile | None = None
        super().__init__()
        self._cwd = cwd
        self._session_dir = session_dir
        self._durable = durable
        self._session_file: Path | None = None
        self._flushed = False
        self._refusal: str | None = None

    # --- making one -------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        cwd: PathLike,
        session_dir: PathLike | None = None,
        *,
        id: str | None = None,
        parent_session: PathLike | None = None,
        durable: bool = False,
        agent_dir: PathLike | None = None,
    ) -> SessionManager:
        """A new session. Raises `SessionIdError` for an id that does not suit a file name.

        `session_dir` defaults to a directory for `cwd` below `agent_dir`. With `durable`, every
        append is on the disk when it returns.
        """
        manager = cls(resolve_path(cwd), _session_dir(cwd, session_dir, agent_dir), durable=durable)
        manager._start(id, parent_session)
        return manager

    @classmethod
    def open(
        cls,
        path: PathLike,
        session_dir: PathLike | None = None,
        cwd_override: PathLike | None = None,
        *,
        read_only: bool = False,
        durable: bool = False,
    ) -> SessionManager:
        """The session in a file, which is locked unless `read_only`.

        A missing file is a new session that will be there; an empty one gets its header at once.
        A file of a newer format, or one that may not be written, is opened for reading. Raises
        OSError, `SessionLockedError` or `SessionFormatError`.
        """
        file = Path(resolve_path(path))
        directory = file.parent if session_dir is None else Path(expand_path(session_dir))
        manager = cls(resolve_path(cwd_override or "."), directory, durable=durable)
        manager._load(file, read_only=read_only)
        if cwd_override is None:
            manager._cwd = resolve_path(manager._header.cwd or ".")
        return manager

    @classmethod
    def continue_recent(
        cls,
        cwd: PathLike,
        session_dir: PathLike | None = None,
        *,
        durable: bool = False,
        agent_dir: PathLike | None = None,
    ) -> SessionManager:
        """The session of `cwd` that was written to last, or else a new one."""
        recent = find_most_recent_session(cwd, session_dir, agent_dir=agent_dir)
        if recent is None:
            return cls.create(cwd, session_dir, durable=durable, agent_dir=agent_dir)
        directory = _session_dir(cwd, session_dir, agent_dir)
        return cls.open(recent, directory, cwd, durable=durable)

    @classmethod
    def in_memory(
        cls,
        cwd: PathLike | None = None,
        *,
        id: str | None = None,
        parent_session: PathLike | None = None,
        entries: Iterable[JsonObject | Entry] | None = None,
    ) -> SessionManager:
        """A session without a file, empty or made of entries: dicts as lines have them, or others'.

        Entries that begin with a header keep its id, and are migrated if they are old.
        """
        manager = cls(resolve_path(cwd or "."), None)
        manager._start(id, parent_session)
        lines = entries_from_objects(entries or ())
        if lines and read_header(lines[0]) is not None:
            loaded = parse_session([entry.line for entry in lines])
            if loaded is not None:
                manager._header, lines = loaded.header, loaded.entries
        manager._replace_entries(lines)
        return manager

    @classmethod
    def fork_from(
        cls,
        source: PathLike,
        target_cwd: PathLike,
        session_dir: PathLike | None = None,
        *,
        id: str | None = None,
        durable: bool = False,
        agent_dir: PathLike | None = None,
    ) -> SessionManager:
        """A new session file for `target_cwd` with all entries, of all branches, of `source`.

        Raises `SessionFormatError` if the source is missing or no session, FileExistsError if the
        new file is there already.
        """
        path = Path(resolve_path(source))
        try:
            loaded = load_session(path)
        except (FileNotFoundError, SessionFormatError):
            loaded = None
        if loaded is None:
            raise SessionFormatError(
                f"Cannot fork: source session file is empty or invalid: {path}"
            )
        directory = _session_dir(target_cwd, session_dir, agent_dir)
        manager = cls(resolve_path(target_cwd), directory, durable=durable)
        manager._start(id, path)
        manager._replace_entries(loaded.entries)
        manager._create_file([entry for entry in loaded.entries if entry.type != "session"])
        return manager

    def new_session(
        self, *, id: str | None = None, parent_session: PathLike | None = None
    ) -> Path | None:
        """Go on with an empty session in the same directory; gives the path it will have."""
        if id is not None:
            check_session_id(id)
        self._release()
        self._start(id, parent_session)
        return self._session_file

    def set_session_file(self, path: PathLike) -> None:
        """Go on with the session of another file; directory and cwd stay.

        Raises as `open` does, and then stays with the session it has; if `path` is that session's
        own file, for reading only.
        """
        target = Path(resolve_path(path))
        if target == self._session_file:
            self._release()  # its lock would keep this manager out too
        previous, self._file = self._file, None
        try:
            self._load(target, read_only=False)
        except BaseException:
            self._file = previous
            if previous is None and self._flushed and self._refusal is None:
                self._refusal = f"Session file could not be opened again: {target}"
            raise
        if previous is not None:
            previous.close()

    def create_branched_session(self, leaf_id: str) -> Path | None:
        """Copy the path to `leaf_id` into a new session, and go on with that.

        Gives its path, None in memory. The file is made at once if the path has a user or
        assistant message. Raises `EntryNotFoundError`; on any failure nothing changes.
        """
        self._require(leaf_id)
        entries = branched_entries(self.get_branch(leaf_id), self._current_labels(), new_entry_id)
        branched = self._derive(entries, self._session_dir)
        self._release()
        self._adopt(branched)
        self._replace_entries(entries)
        return self._session_file

    def slice(
        self, first_id: str | None = None, last_id: str | None = None, *, in_memory: bool = False
    ) -> SessionManager:
        """A new session of the entries from one to another, by default from root to leaf.

        Its file, beside this one's, is made at once if there is a user or assistant message in
        it; `in_memory` makes none. What `sliced_entries` says of tool calls, labels and errors
        holds. This session stays as it is.
        """
        entries = sliced_entries(
            self, first_id, last_id, labels=self._current_labels(), new_id=new_entry_id
        )
        sliced = self._derive(entries, None if in_memory else self._session_dir)
        sliced._replace_entries(entries)
        return sliced

    # --- state ------------------------------------------------------------------------------

    @property
    def session_file(self) -> Path | None:
        """Where the session is, or will be, stored; None in memory."""
        return self._session_file

    @property
    def session_dir(self) -> Path | None:
        """Where sessions derived from this one are stored; None in memory."""
        return self._session_dir

    @property
    def cwd(self) -> str:
        """The working directory, absolute; may differ from the header's."""
        return self._cwd

    @property
    def read_only(self) -> bool:
        """Whether appends raise `SessionReadOnlyError`."""
        return self._refusal is not None

    @property
    def is_persisted(self) -> bool:
        """Whether the session has a file, or will have one."""
        return self._session_file is not None

    @property
    def durable(self) -> bool:
        """Whether every append is on the disk when it returns."""
        return self._durable

    @property
    def is_saved(self) -> bool:
        """Whether the file exists, so that every append goes to it."""
        return self._flushed

    def export_jsonl(self, path: PathLike | None = None) -> Path:
        """Write the active branch as a session file of its own, over what is there.

        By default `session-<stamp>.jsonl` in the process's directory.
        """
        now = format_timestamp(now_ms())
        target = Path(resolve_path(path or f"session-{file_stamp(now)}.jsonl"))
        if target == self._session_file:
            raise SessionError(f"Cannot export a session over its own file: {target}")
        header = SessionHeader(
            version=CURRENT_VERSION, id=self._header.id, timestamp=now, cwd=self._cwd
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(dump_header(header) + dump_entries(linear_entries(self.get_branch())))
        return target

    def close(self) -> None:
        """Give up file and lock. Reads still work; a second call does nothing."""
        self._release()
        self._refusal = "Session is closed"

    def __enter__(self) -> SessionManager:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_file", None) is not None:
            warnings.warn(f"{self!r} was not closed", ResourceWarning, stacklevel=2, source=self)
            self._release()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(
            "A session cannot be copied or pickled, as its file has one writer: use fork_from, "
            "slice, or in_memory(entries=session.get_entries())"
        )

    def __repr__(self) -> str:
        where = self._session_file.name if self._session_file else "in memory"
        name = f" {one_line(name, 40)!r}" if (name := self.get_session_name()) else ""
        counts = counted(len(self), "entry", "entries")
        return f"<SessionManager {self.session_id}{name} {where}, {counts}>"

    # --- storing ----------------------------------------------------------------------------

    def _start(self, session_id: str | None, parent_session: PathLike | None) -> None:
        """Become an empty session, with no file yet."""
        self._header = header = self._new_header(session_id, parent_session)
        if self._session_dir is not None:
            self._session_file = self._session_dir / session_file_name(header.timestamp, header.id)
        self._flushed = False
        self._refusal = None
        self._replace_entries(())

    def _new_header(
        self, session_id: str | None = None, parent_session: PathLike | None = None
    ) -> SessionHeader:
        return SessionHeader(
            version=CURRENT_VERSION,
            id=uuid7() if session_id is None else check_session_id(session_id),
            timestamp=format_timestamp(now_ms()),
            cwd=self._cwd,
            parent_session=None if parent_session is None else os.fspath(parent_session),
        )

    def _load(self, path: Path, *, read_only: bool) -> None:
        loaded: LoadedSession | None
        try:
            if read_only:
                file, loaded = None, load_session(path)
            else:
                file, loaded = open_for_writing(path, durable=self._durable)
        except FileNotFoundError:
            if read_only:
                raise
            self._start(None, None)
            self._session_file = path
            return
        header = self._new_header() if loaded is None else loaded.header
        if loaded is None and file is not None:
            _write_header(file, header)
        self._header = header
        self._replace_entries(() if loaded is None else loaded.entries)
        self._file = file
        self._session_file = path
        self._flushed = True
        self._refusal = None if file is not None else f"Session is open for reading only: {path}"

    def _derive(self, entries: list[Entry], session_dir: Path | None) -> SessionManager:
        """A session whose file has `entries`, though it has not taken them in yet."""
        derived = SessionManager(self._cwd, session_dir, durable=self._durable)
        derived._start(None, self._session_file)
        if session_dir is not None and any(map(_is_conversation, entries)):
            derived._create_file(entries)
        return derived

    def _adopt(self, other: SessionManager) -> None:
        """Take over header and file of `other`, which is of no use afterwards."""
        self._header = other._header
        self._session_file = other._session_file
        self._file, other._file = other._file, None
        self._flushed = other._flushed
        self._refusal = None

    def _commit(self, view: KnownEntry) -> Entry:
        if self._refusal is not None:
            raise SessionReadOnlyError(self._refusal)
        if self._file is not None:
            for foreign in parse_lines(self._file.read_new_lines()).entries:
                self._add(foreign)
        self._complete(view, new_entry_id(self._by_id), format_timestamp(now_ms()))
        entry = Entry.of(view)
        if self._file is not None:
            for foreign in parse_lines(self._file.append(entry.line)).entries:
                self._add(foreign)
        elif self._session_file is not None and _is_conversation(entry):
            self._create_file([*self._entries, entry])
        self._add_leaf(entry)
        return entry

    def _create_file(self, entries: list[Entry]) -> None:
        assert self._session_file is not None  # sessions in memory never come here
        data = dump_header(self._header) + dump_entries(entries)
        self._file = SessionFile.create(self._session_file, data, durable=self._durable)
        self._flushed = True

    def _release(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()


def _write_header(file: SessionFile, header: SessionHeader) -> None:
    try:
        file.append(dump_header(header))
    except BaseException:
        file.close()
        raise


def _is_conversation(entry: Entry) -> bool:
    return entry.role in {"user", "assistant"}


def _session_dir(cwd: PathLike, session_dir: PathLike | None, agent_dir: PathLike | None) -> Path:
    if session_dir is not None:
        return Path(expand_path(session_dir))
    return default_session_dir(cwd, agent_dir)
