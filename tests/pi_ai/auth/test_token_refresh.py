"""Tokens that are kept fresh, by tasks and by processes. Auth spec, sections 6.2, 13 and 14."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from pi_ai import AbortController, AbortError, Models, ModelsError, ProviderSpec
from pi_ai.auth.storage import FileCredentialStore, MemoryCredentialStore
from pi_ai.auth.token_refresh import TokenRefresher, needs_refresh
from pi_ai.auth.types import OAuthCredential
from pi_ai.types import now_ms
from support.exchanges import HI, M
from support.token_server import ServerTokens, TokenServer

MINUTE = 60_000
NOW = 1_000_000_000_000


def expiring(in_ms: float = 0, **fields: Any) -> OAuthCredential:
    return OAuthCredential("A0", "R0", now_ms() + in_ms, **fields)


class World:
    """A file with one login, a server that refreshes it, and a collection of models on both."""

    def __init__(self, path: Path, server: TokenServer) -> None:
        self.path = path
        self.server = server
        self.store = FileCredentialStore(path)
        self.spec = ProviderSpec("own", env=("OWN_KEY",), oauth=ServerTokens(server.url))
        self.models = Models([self.spec], credentials=self.store)
        self.credentials = self.models.credentials

    async def put(self, credential: OAuthCredential) -> None:
        async def change(_: Any) -> OAuthCredential:
            return credential

        await self.store.modify("own", change)

    async def key(self, **options: Any) -> str | None:
        auth = await self.credentials.get("own", **options)
        return auth.api_key if auth is not None else None

    @property
    def entry(self) -> dict[str, Any]:
        return json.loads(self.path.read_text())["own"]

    @property
    def lock(self) -> Path:
        return self.path.with_name("auth.json.lock")


@asynccontextmanager
async def world(path: Path, credential: OAuthCredential) -> AsyncIterator[World]:
    async with TokenServer() as server:
        made = World(path, server)
        await made.put(credential)
        yield made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "auth.json"


def live(path: Path, test: Callable[[World], Awaitable[None]], **fields: Any) -> None:
    """Run `test` in a world whose tokens have expired."""

    async def main() -> None:
        async with world(path, expiring(**fields)) as made:
            await test(made)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("left_ms", "validity_ms", "due"),
    [
        (299_000, None, True),
        (300_000, None, True),
        (302_000, None, False),
        (302_000, 60_000, False),
        (20 * MINUTE, 30 * MINUTE, True),
        (31 * MINUTE, 30 * MINUTE, False),
    ],
)
def test_auth_check_41_when_a_refresh_is_due(
    left_ms: float, validity_ms: float | None, due: bool
) -> None:
    assert needs_refresh(OAuthCredential("A", "R", NOW + left_ms), NOW, validity_ms) is due


def test_auth_check_41_fresh_tokens_are_used_as_they_are(path: Path) -> None:
    async def test(world: World) -> None:
        assert await world.key() == "A0"
        assert world.server.seen == []

    live(path, test, in_ms=302_000)


def test_auth_check_44_what_the_server_does_not_tell_is_kept(path: Path) -> None:
    async def test(world: World) -> None:
        world.server.fields = {"refresh_token": None}
        assert await world.key() == "A1"
        assert {**world.entry, "expires": 0} == {
            "type": "oauth",
            "refresh": "R0",
            "access": "A1",
            "expires": 0,
            "foo": ["kept"],
        }

    live(path, test, extra={"foo": ["kept"]})


def test_many_tasks_make_one_refresh(path: Path) -> None:
    async def test(world: World) -> None:
        other = World(path, world.server)  # another collection in the same process
        keys = await asyncio.gather(*(each.key() for each in (world, other) for _ in range(50)))
        assert set(keys) == {"A1"}
        assert len(world.server.seen) == 1
        assert not world.lock.exists()

    live(path, test)


# --- cancellation -----------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["signal", "task"])
def test_auth_check_42_a_caller_that_leaves_does_not_end_a_refresh(path: Path, way: str) -> None:
    async def test(world: World) -> None:
        world.server.hold = asyncio.Event()
        controller = AbortController()
        asking = asyncio.create_task(world.key(signal=controller.signal))
        await world.server.asked.wait()
        if way == "signal":
            controller.abort()
        else:
            asking.cancel()
        with pytest.raises(AbortError if way == "signal" else asyncio.CancelledError):
            await asking
        assert world.entry["access"] == "A0"
        world.server.hold.set()
        await world.credentials.settled()
        assert world.entry["access"] == "A1"

    live(path, test)


def test_an_aborted_request_leaves_its_refresh_to_itself(path: Path) -> None:
    async def test(world: World) -> None:
        world.server.hold = asyncio.Event()
        controller = AbortController()
        model = replace(M, provider="own", base_url="http://127.0.0.1:9")
        asking = asyncio.create_task(world.models.complete(model, HI, signal=controller.signal))
        await world.server.asked.wait()
        controller.abort()
        message = await asking
        assert (message.stop_reason, message.error_message) == ("aborted", "Request was aborted")
        world.server.hold.set()
        await world.credentials.settled()
        assert world.entry["access"] == "A1"

    live(path, test)


def test_closing_the_collection_waits_for_a_refresh(path: Path) -> None:
    async def test(world: World) -> None:
        world.server.hold = asyncio.Event()
        asking = asyncio.create_task(world.key())
        await world.server.asked.wait()
        asking.cancel()
        closing = asyncio.create_task(world.models.aclose())
        await asyncio.sleep(0.02)
        assert not closing.done()
        world.server.hold.set()
        await closing
        assert world.entry["access"] == "A1"

    live(path, test)


def test_a_refresh_that_only_waits_for_the_lock_ends_with_its_last_caller(path: Path) -> None:
    async def test(world: World) -> None:
        world.lock.mkdir()
        controller = AbortController()
        asking = [asyncio.create_task(world.key(signal=controller.signal)) for _ in range(2)]
        await asyncio.sleep(0.05)
        controller.abort()
        for task in asking:
            with pytest.raises(AbortError):
                await task
        await world.credentials.settled()
        assert world.server.seen == []

    live(path, test)


def test_one_callers_signal_leaves_the_others_waiting(path: Path) -> None:
    async def test(world: World) -> None:
        world.server.hold = asyncio.Event()
        controller = AbortController()
        leaving = asyncio.create_task(world.key(signal=controller.signal))
        staying = asyncio.create_task(world.key())
        await world.server.asked.wait()
        controller.abort()
        with pytest.raises(AbortError):
            await leaving
        world.server.hold.set()
        assert await staying == "A1"

    live(path, test)


def test_a_refresh_that_fails_with_nobody_waiting_is_logged(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(world: World) -> None:
        world.server.hold = asyncio.Event()
        world.server.answers = [(400, {"error": "invalid_request"})]
        asking = asyncio.create_task(world.key())
        await world.server.asked.wait()
        asking.cancel()
        world.server.hold.set()
        await world.credentials.settled()

    live(path, test)
    assert "OAuth refresh failed for own: refused (400) invalid_request" in caplog.text


# --- failures ---------------------------------------------------------------------------------


def test_auth_check_43_a_refresh_that_hangs_ends_and_frees_the_lock(path: Path) -> None:
    async def test(world: World) -> None:
        world.server.hold = asyncio.Event()
        refresher = TokenRefresher(world.store, now_ms, refresh_seconds=0.2)
        stored = await world.store.read("own")
        assert isinstance(stored, OAuthCredential)
        with pytest.raises(ModelsError) as raised:
            await refresher.fresh("own", ServerTokens(world.server.url), stored)
        assert str(raised.value) == "OAuth refresh failed for own: no answer within 0.2 s"
        parameters = inspect.signature(TokenRefresher).parameters
        assert parameters["refresh_seconds"].default == 15
        assert raised.value.code == "oauth"
        assert not world.lock.exists()
        assert world.entry["access"] == "A0"
        world.server.hold.set()

    live(path, test)


PASSING: list[tuple[int, Any]] = [(429, {}), (500, b"<html>"), (503, {"error": "busy"})]
LASTING: list[tuple[int, Any]] = [
    (400, {"error": "invalid_grant"}),
    (401, b""),
    (302, b""),
    (200, {"refresh_token": "R9"}),
]


@pytest.mark.parametrize("answer", PASSING, ids=str)
@pytest.mark.parametrize("left_ms", [4 * MINUTE, -1], ids=["still valid", "expired"])
def test_auth_check_45_a_passing_failure(
    path: Path, answer: Any, left_ms: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OWN_KEY", "environment")

    async def test(world: World) -> None:
        before = path.read_bytes()
        world.server.answers = [answer]
        if left_ms > 0:
            assert await world.key() == "A0"
        else:
            with pytest.raises(ModelsError, match=r"^OAuth refresh failed for own: ") as raised:
                await world.key()
            assert raised.value.code == "oauth"
        assert len(world.server.seen) == 1
        assert path.read_bytes() == before

    live(path, test, in_ms=left_ms)


def test_auth_check_45_no_server_at_all(path: Path) -> None:
    async def main() -> None:
        async with world(path, expiring(4 * MINUTE)) as made:
            pass
        assert await made.key() == "A0"  # the server is gone
        await made.put(expiring(-1))
        with pytest.raises(ModelsError, match="OAuth refresh failed for own: Connection error"):
            await made.key()

    asyncio.run(main())


@pytest.mark.parametrize("answer", LASTING, ids=str)
def test_a_lasting_failure_is_an_error_and_the_credential_stays(path: Path, answer: Any) -> None:
    async def test(world: World) -> None:
        before = path.read_bytes()
        world.server.answers = [answer]
        with pytest.raises(ModelsError, match=r"^OAuth refresh failed for own: "):
            await world.key()
        assert len(world.server.seen) == 1
        assert path.read_bytes() == before

    live(path, test, in_ms=4 * MINUTE)


SPENT: list[tuple[int, Any]] = [
    (400, {"error": "invalid_grant", "error_description": "spent"}),
    *(
        (401, {"error": {"code": f"refresh_token_{how}", "message": "Please sign in again."}})
        for how in ("reused", "expired", "invalidated")
    ),
]


@pytest.mark.parametrize("answer", SPENT, ids=str)
def test_a_login_that_is_over_says_so_and_stays(path: Path, answer: Any) -> None:
    async def test(world: World) -> None:
        before = path.read_bytes()
        world.server.answers = [answer]
        with pytest.raises(ModelsError, match=r"^OAuth refresh failed for own: ") as raised:
            await world.key()
        assert str(raised.value).endswith(
            (": spent. Log in again.", "sign in again. Log in again.")
        )
        assert raised.value.code == "oauth"
        assert path.read_bytes() == before  # another process may be about to store a newer one

    live(path, test)


@pytest.mark.parametrize("answer", SPENT, ids=str)
def test_auth_check_46_a_spent_token_gives_way_to_a_newer_one(path: Path, answer: Any) -> None:
    async def test(world: World) -> None:
        world.server.answers = [answer]  # somebody else has refreshed, and stores it only now
        world.server.hold = asyncio.Event()
        asking = asyncio.create_task(world.key())
        await world.server.asked.wait()
        newer = {**world.entry, "access": "A1", "refresh": "R1", "expires": now_ms() + 3_600_000}
        path.write_text(json.dumps({"own": newer}))
        world.server.hold.set()
        assert await asking == "A1"
        assert world.entry == newer

    live(path, test)


def test_a_token_that_expires_too_soon_for_the_caller_is_refused(path: Path) -> None:
    async def test(world: World) -> None:
        with pytest.raises(ModelsError, match="a token that expires too soon for own"):
            await world.key(min_validity_ms=2 * 3_600_000)
        assert world.entry["access"] == "A1"
        assert await world.key(min_validity_ms=30 * MINUTE) == "A1"

    live(path, test)


# --- others at the same time ------------------------------------------------------------------


def test_a_logout_during_a_refresh_wins_and_its_caller_gets_the_token(path: Path) -> None:
    async def test(world: World) -> None:
        world.server.hold = asyncio.Event()
        asking = asyncio.create_task(world.key())
        await world.server.asked.wait()
        leaving = asyncio.create_task(world.credentials.logout("own"))
        await asyncio.sleep(0.02)
        world.server.hold.set()
        assert await asking == "A1"
        await leaving
        assert json.loads(path.read_text()) == {}

    live(path, test)


def test_after_a_logout_there_is_nothing_to_refresh(path: Path) -> None:
    async def test(world: World) -> None:
        stored = await world.store.read("own")
        assert isinstance(stored, OAuthCredential)
        await world.credentials.logout("own")
        refresher = TokenRefresher(world.store, now_ms)
        assert await refresher.fresh("own", ServerTokens(world.server.url), stored) is None
        assert world.server.seen == []

    live(path, test)


def test_auth_check_40_a_lock_taken_away_during_a_refresh(path: Path) -> None:
    async def test(world: World) -> None:
        world.server.hold = asyncio.Event()
        asking = asyncio.create_task(world.key())
        await world.server.asked.wait()
        world.lock.rmdir()
        world.server.hold.set()
        assert await asking == "A1"
        assert world.entry["access"] == "A1"
        assert not world.lock.exists()

    live(path, test)


SCRIPT = """
import asyncio, os, sys
import pi_ai.http.client
from pi_ai import Models, ProviderSpec
from pi_ai.auth.storage import FileCredentialStore
from support.exchanges import HI, M
from support.token_server import ServerTokens

path, url, count = sys.argv[1], sys.argv[2], int(sys.argv[3])

async def ask():
    spec = ProviderSpec("own", oauth=ServerTokens(url))
    models = Models([spec], credentials=FileCredentialStore(path))
    auth = await models.credentials.get("own")
    return auth.api_key

ready, go = os.pipe()
for _ in range(count):
    if not os.fork():
        os.close(go)
        os.read(ready, 1)  # until all are there
        os.write(1, (asyncio.run(ask()) + "\\n").encode())
        os._exit(0)
os.close(ready)
print("forked", flush=True)
os.close(go)
for _ in range(count):
    os.wait()
"""


async def start(path: Path, url: str, count: int) -> asyncio.subprocess.Process:
    """`count` processes that ask for the key of the login at the same time."""
    return await run_script(SCRIPT, str(path), url, str(count))


async def run_script(script: str, *arguments: str) -> asyncio.subprocess.Process:
    tests = Path(__file__).resolve().parents[2]
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        script,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), *sys.path])},
        start_new_session=True,
    )


def test_auth_check_33_fifty_processes_make_one_refresh(path: Path) -> None:
    async def test(world: World) -> None:
        process = await start(path, world.server.url, 50)
        printed, _ = await process.communicate()
        assert process.returncode == 0
        assert printed.split() == [b"forked"] + [b"A1"] * 50
        assert len(world.server.seen) == 1
        assert world.entry["refresh"] == "R1"
        assert not world.lock.exists()

    live(path, test)


def test_auth_check_33_a_process_killed_during_its_refresh_leaves_a_file_that_works(
    path: Path,
) -> None:
    """The token that was spent is lost with the process; what was stored before is not."""

    async def test(world: World) -> None:
        before = path.read_bytes()
        world.server.hold = asyncio.Event()
        process = await start(path, world.server.url, 1)
        await world.server.asked.wait()
        os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()
        world.server.hold.set()
        assert path.read_bytes() == before
        assert world.lock.is_dir()
        dead = world.lock.stat().st_mtime - 31
        os.utime(world.lock, (dead, dead))
        world.server.granted = 1  # the server had taken the old token back
        with pytest.raises(ModelsError, match=r": .*invalid_grant.* Log in again\.$"):
            await world.key()
        assert path.read_bytes() == before
        assert not world.lock.exists()

    live(path, test)


POLITE = """
import asyncio, signal, sys
import pi_ai.http.client
from pi_ai import Models, ProviderSpec
from pi_ai.auth.storage import FileCredentialStore
from support.token_server import ServerTokens

async def main():
    path, url = sys.argv[1:]
    spec = ProviderSpec("own", oauth=ServerTokens(url))
    models = Models([spec], credentials=FileCredentialStore(path))
    asking = asyncio.create_task(models.credentials.get("own"))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asking.cancel)
    try:
        await asking
    except asyncio.CancelledError:
        print("terminated", flush=True)
    await models.credentials.settled()

asyncio.run(main())
"""


def test_auth_check_33_a_program_that_is_terminated_stores_the_token_it_waits_for(
    path: Path,
) -> None:
    async def test(world: World) -> None:
        world.server.hold = asyncio.Event()
        process = await run_script(POLITE, str(path), world.server.url)
        await world.server.asked.wait()
        process.terminate()
        assert process.stdout is not None
        assert await process.stdout.readline() == b"terminated\n"
        assert world.entry["access"] == "A0"
        world.server.hold.set()
        assert await process.wait() == 0
        assert (world.entry["access"], world.entry["refresh"]) == ("A1", "R1")
        assert not world.lock.exists()

    live(path, test)


def test_what_was_acknowledged_survives_processes_killed_at_any_moment(path: Path) -> None:
    """Whoever was told of a token finds it, or a newer one, in the file."""

    async def test(world: World) -> None:
        world.server.fields = {"expires_in": 1}  # every ask is a refresh
        for delay in (0.0, 0.003, 0.006, 0.01):
            process = await start(path, world.server.url, 3)
            assert process.stdout is not None
            await process.stdout.readline()
            told = [await process.stdout.readline()]
            await asyncio.sleep(delay)
            os.killpg(process.pid, signal.SIGKILL)
            told += (await process.stdout.read()).splitlines()
            await process.wait()
            acknowledged = max(int(line.strip()[1:]) for line in told if line.strip())
            assert int(world.entry["refresh"][1:]) >= acknowledged
            assert int(world.entry["refresh"][1:]) == int(world.entry["access"][1:])
            world.server.granted = int(world.entry["refresh"][1:])
            if world.lock.exists():
                world.lock.rmdir()

    live(path, test)


# --- secrets ----------------------------------------------------------------------------------


def test_auth_check_57_failures_tell_no_token(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    access, refresh = "sk-ant-oat01-secret", "sk-ant-ort01-secret"
    answers: list[tuple[int, Any]] = [
        (400, {"error": "invalid_request", "error_description": f"bad {refresh}", "x": access}),
        (500, json.dumps({"access_token": access}).encode()),
        (200, f'{{"access_token": "{access}'.encode()),
        (302, {"access_token": access}),
    ]

    async def main() -> list[str]:
        shown: list[str] = []
        async with TokenServer() as server:
            store = MemoryCredentialStore({"own": OAuthCredential(access, refresh, 0)})
            spec = ProviderSpec("own", oauth=ServerTokens(server.url))
            models = Models([spec], credentials=store)
            for answer in answers:
                server.answers = [answer]
                with pytest.raises(ModelsError) as raised:
                    await models.credentials.get("own")
                error = raised.value
                assert error.__traceback__ is not None
                error.__traceback__ = error.__traceback__.tb_next  # not this test's variables
                told = traceback.TracebackException.from_exception(error, capture_locals=True)
                shown += [*told.format(), repr(error)]
            assert len(server.seen) == len(answers)
        return shown

    with caplog.at_level(logging.DEBUG):
        text = "".join([*asyncio.run(main()), caplog.text])
    assert "OAuth refresh failed for own" in text
    assert "credential = <OAuthCredential" in text
    for secret in (access, refresh):
        assert secret not in text
    assert "invalid_request: bad <secret>" in text
