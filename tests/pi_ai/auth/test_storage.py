"""auth.json: format, permissions, lock, faults. Auth spec, sections 5, 13 and 14."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import runpy
import stat
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pi_ai import AbortController, AbortError
from pi_ai.auth import storage
from pi_ai.auth.entries import encode_credential, format_entries
from pi_ai.auth.storage import CredentialStore, FileCredentialStore, MemoryCredentialStore
from pi_ai.auth.types import (
    ApiKeyCredential,
    Credential,
    CredentialInfo,
    OAuthCredential,
    UnknownCredential,
)
from pi_ai.dirlock import directory_lock
from pi_ai.errors import AuthStorageError, LockHeldError

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
KEY = ApiKeyCredential("sk-1")
TOKENS = OAuthCredential("A", "R", 1795371006932)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "auth.json"


@pytest.fixture
def store(path: Path) -> FileCredentialStore:
    return FileCredentialStore(path)


def giving(credential: Credential | None) -> Callable[[Credential | None], Awaitable[Any]]:
    async def change(_: Credential | None) -> Credential | None:
        return credential

    return change


def run(awaitable: Any) -> Any:
    async def main() -> Any:
        return await awaitable

    return asyncio.run(main())


def put(store: CredentialStore, provider_id: str, credential: Credential) -> Any:
    return run(store.modify(provider_id, giving(credential)))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- format -----------------------------------------------------------------------------------


def test_auth_check_34_the_first_write_in_an_empty_home(tmp_path: Path) -> None:
    path = tmp_path / ".pi" / "agent" / "auth.json"
    store = FileCredentialStore(path)
    put(store, "anthropic", TOKENS)
    put(
        store,
        "openai",
        ApiKeyCredential("$OPENAI_WORK_KEY", env={"OPENAI_WORK_KEY": "sk-ö"}),
    )
    assert path.read_text(encoding="utf-8") == (
        "{\n"
        '  "anthropic": {\n'
        '    "type": "oauth",\n'
        '    "refresh": "R",\n'
        '    "access": "A",\n'
        '    "expires": 1795371006932\n'
        "  },\n"
        '  "openai": {\n'
        '    "type": "api_key",\n'
        '    "key": "$OPENAI_WORK_KEY",\n'
        '    "env": {\n'
        '      "OPENAI_WORK_KEY": "sk-ö"\n'
        "    }\n"
        "  }\n"
        "}"
    )
    assert [mode(each) for each in (path, path.parent, path.parent.parent)] == [
        0o600,
        0o700,
        0o700,
    ]
    assert os.listdir(path.parent) == ["auth.json"]


STRANGE = (
    '{"weird":{"type":"weird","foo":1e5,"b":[ ]},\n\t"none" : null, "text":"\\u00e9\\ud800", "a": '
    '{"type":"oauth","note":"kept","access":"A","refresh":"R","expires":5.25,"accountId":"x"},'
    '"list":[1,\n 2]}'
)


def test_auth_check_35_a_write_leaves_all_else_byte_for_byte(
    path: Path, store: FileCredentialStore
) -> None:
    text = STRANGE.replace("\\ud800", "")
    path.write_text(text, encoding="utf-8")
    path.chmod(0o640)
    new = OAuthCredential("A2", "R2", 6, extra={"accountId": "y", "note": "kept", "new": True})
    assert put(store, "a", new) == new
    written = path.read_text(encoding="utf-8")
    for entry in ('{"type":"weird","foo":1e5,"b":[ ]}', '"\\u00e9"', "[1,\n 2]"):
        assert entry in written
    assert json.loads(written) == {
        **json.loads(text),
        "a": {
            "type": "oauth",
            "note": "kept",
            "access": "A2",
            "refresh": "R2",
            "expires": 6,
            "accountId": "y",
            "new": True,
        },
    }
    assert list(json.loads(written)["a"])[:3] == ["type", "note", "access"]
    assert mode(path) == 0o640
    run(store.delete("a"))
    assert [*json.loads(path.read_text())] == ["weird", "none", "text", "list"]


def test_lone_surrogates_of_javascript_survive(path: Path, store: FileCredentialStore) -> None:
    path.write_text(STRANGE, encoding="utf-8")
    put(store, "new", KEY)
    assert json.loads(path.read_text())["text"] == "é\ud800"


@pytest.mark.parametrize(
    ("data", "listed"),
    [
        (b'\xef\xbb\xbf{"a":{"type":"api_key","key":"k"}}', [CredentialInfo("a", "api_key")]),
        (b"", []),
        (b"{}", []),
        (b'{"a":1,"b":"x","c":[],"d":null}', []),
        (b'{"a":{"type":"new"},"b":{}}', [CredentialInfo("a", "new"), CredentialInfo("b", "")]),
    ],
    ids=["byte order mark", "empty file", "empty object", "no objects", "unknown types"],
)
def test_auth_check_35_what_is_read_and_listed(
    path: Path, store: FileCredentialStore, data: bytes, listed: list[CredentialInfo]
) -> None:
    path.write_bytes(data)
    assert run(store.list()) == listed
    put(store, "z", KEY)
    assert not path.read_bytes().startswith(b"\xef")
    assert run(store.list()) == [*listed, CredentialInfo("z", "api_key")]


@pytest.mark.parametrize(
    "data",
    [
        b"{bad",
        b"[]",
        b"null",
        b'"x"',
        b'{"a": NaN}',
        b'{"a":1}}',
        b'{"a":{"type":"api_key","key":"sk-1"}',
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=["bad", "array", "null", "string", "NaN", "too much", "torn", "deep"],
)
def test_auth_check_36_a_broken_file_raises_and_is_left_alone(
    path: Path, store: FileCredentialStore, data: bytes
) -> None:
    path.write_bytes(data)
    change = pytest.fail
    calls: list[Any] = [
        lambda: store.read("a"),
        lambda: store.list(),
        lambda: store.modify("a", change),
        lambda: store.delete("a"),
    ]
    for call in calls:
        with pytest.raises(AuthStorageError) as raised:
            run(call())
        assert str(path) in str(raised.value)
        assert "sk-1" not in str(raised.value)
    assert path.read_bytes() == data
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize(
    "entry",
    [
        {"type": "api_key", "key": 5},
        {"type": "api_key", "env": []},
        {"type": "api_key", "env": {"A": 1}},
        {"type": "oauth", "access": "A", "refresh": "R"},
        {"type": "oauth", "access": "A", "refresh": "R", "expires": None},
        {"type": "oauth", "access": "A", "refresh": "R", "expires": "5"},
        {"type": "oauth", "access": None, "refresh": "R", "expires": 5},
        {"type": "oauth", "access": "A", "expires": 5},
    ],
    ids=str,
)
def test_an_invalid_credential_is_an_error_and_survives(
    path: Path, store: FileCredentialStore, entry: dict[str, Any]
) -> None:
    path.write_text(json.dumps({"a": entry}))
    text = 'Invalid auth.json credential for provider "a"'
    with pytest.raises(AuthStorageError, match=text):
        run(store.read("a"))
    with pytest.raises(AuthStorageError, match=text):
        run(store.modify("a", giving(KEY)))
    put(store, "b", KEY)
    assert json.loads(path.read_text())["a"] == entry
    run(store.delete("a"))
    assert [*json.loads(path.read_text())] == ["b"]


def test_a_credential_of_unknown_type_is_told_and_kept(
    path: Path, store: FileCredentialStore
) -> None:
    entry = {"type": "passkey", "handle": "h"}
    path.write_text(json.dumps({"a": entry, "b": 5}))
    assert run(store.read("a")) == UnknownCredential("passkey", extra={"handle": "h"})
    assert run(store.read("b")) is None
    assert run(store.modify("a", giving(None))) == UnknownCredential(
        "passkey", extra={"handle": "h"}
    )
    put(store, "a", UnknownCredential("passkey", extra={"handle": "h2"}))
    assert json.loads(path.read_text())["a"] == {"type": "passkey", "handle": "h2"}


# --- stores alike -----------------------------------------------------------------------------


class Keyring:
    """The functions of the package `keyring`, over a dict."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, name: str) -> str | None:
        return self.kept.get((service, name))

    def set_password(self, service: str, name: str, password: str) -> None:
        self.kept[service, name] = password

    def delete_password(self, service: str, name: str) -> None:
        del self.kept[service, name]


@pytest.fixture(params=["file", "memory", "keyring"])
def any_store(request: pytest.FixtureRequest, path: Path, tmp_path: Path) -> CredentialStore:
    if request.param == "keyring":
        example = runpy.run_path(str(EXAMPLES / "credentials_in_keyring.py"))
        example["KeyringStore"].list.__globals__["PROVIDERS"] = ("a", "b")
        return example["KeyringStore"](Keyring(), tmp_path / "keyring")
    return FileCredentialStore(path) if request.param == "file" else MemoryCredentialStore()


def test_what_is_stored_is_read_changed_and_forgotten(any_store: CredentialStore) -> None:
    seen: list[Credential | None] = []

    async def change(current: Credential | None) -> Credential | None:
        seen.append(current)
        return KEY if current is None else None

    async def main() -> None:
        assert await any_store.read("a") is None
        assert await any_store.modify("a", change) == KEY
        assert await any_store.modify("a", change) == KEY
        assert await any_store.read("a") == KEY
        assert await any_store.list() == [CredentialInfo("a", "api_key")]
        await any_store.delete("a")
        await any_store.delete("a")
        assert await any_store.list() == []

    asyncio.run(main())
    assert seen == [None, KEY]
    assert "sk-1" not in repr(any_store)


def test_auth_check_58_what_is_read_is_a_copy(any_store: CredentialStore) -> None:
    put(any_store, "a", OAuthCredential("A", "R", 5, extra={"scopes": ["x"]}))
    first = run(any_store.read("a"))
    first.extra["scopes"].append("y")
    assert run(any_store.read("a")).extra == {"scopes": ["x"]}


def test_auth_check_51_listing_runs_no_command_and_reading_does(
    any_store: CredentialStore, tmp_path: Path
) -> None:
    key = ApiKeyCredential(f"!touch {tmp_path}/ran; echo printed")
    assert put(any_store, "a", key) == key
    run(any_store.list())
    assert not (tmp_path / "ran").exists()
    assert run(any_store.read("a")).key == "printed"
    assert (tmp_path / "ran").exists()


def test_a_key_is_resolved_when_read_and_raw_when_changed(any_store: CredentialStore) -> None:
    raw = ApiKeyCredential("$A-$$", env={"A": "x"}, extra={"note": 1})
    put(any_store, "a", raw)
    put(any_store, "b", ApiKeyCredential("$NOBODY_SETS_THIS", env={"A": "x"}))
    assert run(any_store.read("a")) == ApiKeyCredential("x-$", env={"A": "x"}, extra={"note": 1})
    assert run(any_store.read("b")) == ApiKeyCredential(None, env={"A": "x"})
    assert run(any_store.modify("a", giving(None))) == raw


def test_changes_of_one_provider_come_one_after_another(any_store: CredentialStore) -> None:
    async def add(current: Credential | None) -> Credential:
        await asyncio.sleep(0)
        number = int(current.key or 0) if isinstance(current, ApiKeyCredential) else 0
        return ApiKeyCredential(str(number + 1))

    async def main() -> None:
        await asyncio.gather(*(any_store.modify("a", add) for _ in range(20)))
        assert await any_store.read("a") == ApiKeyCredential("20")

    asyncio.run(main())


def test_a_signal_ends_the_waiting_and_nothing_is_run(any_store: CredentialStore) -> None:
    async def main() -> None:
        began, go_on = asyncio.Event(), asyncio.Event()

        async def slow(_: Credential | None) -> Credential:
            began.set()
            await go_on.wait()
            return KEY

        holding = asyncio.create_task(any_store.modify("a", slow))
        await began.wait()
        controller = AbortController()
        waiting = [
            asyncio.create_task(any_store.modify("a", pytest.fail, controller.signal)),
            asyncio.create_task(any_store.delete("a", controller.signal)),
        ]
        await asyncio.sleep(0.02)
        controller.abort()
        for task in waiting:
            with pytest.raises(AbortError):
                await task
        go_on.set()
        assert await holding == KEY
        with pytest.raises(AbortError):
            await any_store.modify("a", pytest.fail, controller.signal)
        assert await any_store.read("a") == KEY

    asyncio.run(main())


def test_a_logout_waits_for_a_change_and_wins(any_store: CredentialStore) -> None:
    async def main() -> None:
        began, go_on = asyncio.Event(), asyncio.Event()

        async def slow(_: Credential | None) -> Credential:
            began.set()
            await go_on.wait()
            return KEY

        changing = asyncio.create_task(any_store.modify("a", slow))
        await began.wait()
        leaving = asyncio.create_task(any_store.delete("a"))
        await asyncio.sleep(0.02)
        assert not leaving.done()
        go_on.set()
        assert await changing == KEY
        await leaving
        assert await any_store.read("a") is None

    asyncio.run(main())


# --- locking ----------------------------------------------------------------------------------


def test_auth_check_37_the_lock_stands_for_as_long_as_a_change(tmp_path: Path) -> None:
    target = tmp_path / "dotfiles" / "auth.json"
    target.parent.mkdir()
    target.write_text("{}")
    link = tmp_path / "auth.json"
    link.symlink_to(target)
    lock = target.with_name("auth.json.lock")
    store = FileCredentialStore(link)

    async def look(_: Credential | None) -> Credential:
        assert lock.is_dir()
        assert os.listdir(lock) == []
        return KEY

    async def fail(_: Credential | None) -> Credential:
        assert lock.is_dir()
        raise KeyError("mine")

    run(store.modify("a", look))
    assert not lock.exists()
    before = target.read_bytes()
    with pytest.raises(KeyError, match="mine"):
        run(store.modify("b", fail))
    assert (lock.exists(), target.read_bytes(), link.is_symlink()) == (False, before, True)


def test_auth_check_38_a_lock_that_is_held_is_an_error_in_the_end(
    path: Path, store: FileCredentialStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = path.with_name("auth.json.lock")
    lock.mkdir()
    eleven_seconds_ago = time.time() - 11
    os.utime(lock, (eleven_seconds_ago, eleven_seconds_ago))
    held = storage.directory_lock
    monkeypatch.setattr(storage, "directory_lock", lambda file, **_: held(file, wait_seconds=0.2))
    with pytest.raises(LockHeldError, match="Lock file is already being held"):
        run(store.modify("a", pytest.fail))
    assert lock.is_dir()
    old = time.time() - 31
    os.utime(lock, (old, old))
    assert put(store, "a", KEY) == KEY
    assert not lock.exists()


def test_reading_waits_for_no_lock(path: Path, store: FileCredentialStore) -> None:
    async def main() -> None:
        await store.modify("a", giving(KEY))
        async with directory_lock(path):
            async with asyncio.timeout(2):
                assert await store.read("a") == KEY
                assert await store.list() == [CredentialInfo("a", "api_key")]

    asyncio.run(main())


def test_auth_check_40_a_lost_lock_loses_no_token(
    path: Path, store: FileCredentialStore, caplog: pytest.LogCaptureFixture
) -> None:
    lock = path.with_name("auth.json.lock")

    async def change(_: Credential | None) -> Credential:
        lock.rmdir()  # another process took it for dead, worked and was done
        path.write_bytes(format_entries({"other": encode_credential(KEY)}))
        return TOKENS

    assert run(store.modify("a", change)) == TOKENS
    assert [*json.loads(path.read_text())] == ["other", "a"]
    assert not lock.exists()
    assert "the lock was taken away" in caplog.text


def test_auth_check_40_a_lost_lock_overwrites_nobody(
    path: Path, store: FileCredentialStore, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = OAuthCredential("theirs", "theirs", 9)

    async def change(_: Credential | None) -> Credential:
        path.with_name("auth.json.lock").rmdir()
        path.write_bytes(format_entries({"a": encode_credential(theirs)}))
        return TOKENS

    assert run(store.modify("a", change)) == theirs
    assert run(store.read("a")) == theirs
    assert "a was changed by another program" in caplog.text


# --- other programs ---------------------------------------------------------------------------


def test_edits_of_others_are_seen_at_the_next_read(path: Path, store: FileCredentialStore) -> None:
    put(store, "a", KEY)
    for key in ("sk-2", "sk-3", "sk-4"):  # as long as the first, in place, at once
        path.write_text(path.read_text().replace(run(store.read("a")).key, key))
        assert run(store.read("a")).key == key


@pytest.mark.parametrize("torn", [b"", b'{"a": {"type": "api_'], ids=["empty", "half"])
def test_a_file_that_is_being_written_is_looked_at_again(
    path: Path, store: FileCredentialStore, torn: bytes
) -> None:
    put(store, "a", KEY)
    whole = path.read_bytes()

    async def main() -> None:
        path.write_bytes(torn)
        reading = asyncio.create_task(store.read("a"))
        await asyncio.sleep(0.03)
        assert not reading.done()
        path.write_bytes(whole)
        assert await reading == KEY

    asyncio.run(main())


def test_a_directory_that_cannot_be_written_can_be_read(
    path: Path, store: FileCredentialStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b"")
    monkeypatch.setattr(storage, "create_file", _refuse)
    assert run(store.list()) == []
    with pytest.raises(AuthStorageError, match=f"Failed to lock {path}: Permission denied"):
        put(store, "a", KEY)


def _refuse(*_: object) -> None:
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize("kind", ["directory", "under a file"])
def test_what_is_no_file_is_an_error_and_nothing_is_made(tmp_path: Path, kind: str) -> None:
    if kind == "directory":
        path = tmp_path / "auth.json"
        path.mkdir()
    else:
        (tmp_path / "agent").write_text("a file")
        path = tmp_path / "agent" / "auth.json"
    before = sorted(tmp_path.rglob("*"))
    store = FileCredentialStore(path)
    calls = [store.read, store.delete, lambda name: store.modify(name, giving(KEY))]
    for call in calls:
        with pytest.raises(AuthStorageError, match=str(path)):
            run(call("a"))
    assert sorted(tmp_path.rglob("*")) == before


def test_reading_makes_no_file(path: Path, store: FileCredentialStore) -> None:
    assert run(store.read("a")) is None
    run(store.delete("a"))
    assert not path.exists()


def test_auth_check_33_a_file_that_others_can_read_is_used_with_a_warning(
    path: Path, store: FileCredentialStore, caplog: pytest.LogCaptureFixture
) -> None:
    put(store, "a", KEY)
    path.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        assert run(store.read("a")) == KEY
        run(store.read("a"))
    [record] = caplog.records
    assert "can be read by others (mode 644). Run: chmod 600" in record.getMessage()
    put(store, "b", KEY)
    assert mode(path) == 0o644
