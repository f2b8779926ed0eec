"""Agents and the credentials of their agent directory. Auth spec, sections 6 and 13."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from pi_ai import Models, ModelsError, ProviderSpec
from pi_ai.auth.storage import FileCredentialStore, MemoryCredentialStore
from pi_ai.auth.types import ApiKeyCredential, OAuthCredential
from pi_ai.types import now_ms
from pi_ai.wire import encode
from pi_sdk import NoModelError, create_agent
from pi_sdk.rpc_options import parse_arguments
from pi_sdk.rpc_start import open_runtime
from pi_session import CustomMessage, SessionManager
from support.agent_sessions import BUSY
from support.token_server import ServerTokens, TokenServer

SECRETS = ("sk-stored-secret", "sk-scoped-secret", "sk-printed-secret")


def write_auth(agent_dir: Path, entries: dict[str, Any]) -> Path:
    path = agent_dir / "auth.json"
    path.write_text(json.dumps(entries))
    path.chmod(0o600)
    return path


def files_with(directory: Path, secret: str) -> list[str]:
    return sorted(
        path.name
        for path in directory.rglob("*")
        if path.is_file() and secret.encode() in path.read_bytes()
    )


def test_a_key_of_auth_json_is_sent(fake, agent_dir, write_models, monkeypatch):
    monkeypatch.setenv("FAKE_KEY", "environment")
    write_auth(agent_dir, {"fake": {"type": "api_key", "key": "$SCOPED", "env": {"SCOPED": "k"}}})

    async def main():
        async with fake:
            write_models({"fake": fake.config(apiKey="$FAKE_KEY")})
            manager = SessionManager.in_memory(agent_dir)
            async with create_agent(
                agent_dir=agent_dir, session_manager=manager, model="fake/m1"
            ) as agent:
                await agent.prompt("hi")
                await agent.models.credentials.logout("fake")
                await agent.prompt("again")
            return [request.headers["authorization"] for request in fake.server.requests]

    assert asyncio.run(main()) == ["Bearer k", "Bearer environment"]
    assert json.loads((agent_dir / "auth.json").read_text()) == {}


def test_sdk_check_39_the_callers_key_then_the_stored_one_then_the_files(
    fake, agent_dir, write_models, monkeypatch
):
    monkeypatch.setenv("ZK", "stored")
    write_auth(agent_dir, {"fake": {"type": "api_key", "key": "$ZK"}})

    async def main():
        async with fake:
            write_models({"fake": fake.config(apiKey="of-the-file")})
            manager = SessionManager.in_memory(agent_dir)
            async with create_agent(
                agent_dir=agent_dir, session_manager=manager, model="fake/m1"
            ) as agent:
                credentials = agent.models.credentials
                await agent.prompt("one")
                credentials.set_runtime_api_key("fake", "of-the-caller")
                await agent.prompt("two")
                credentials.remove_runtime_api_key("fake")
                await credentials.logout("fake")
                await agent.prompt("three")
            return [request.headers["authorization"] for request in fake.server.requests]

    sent = asyncio.run(main())
    assert sent == ["Bearer stored", "Bearer of-the-caller", "Bearer of-the-file"]


def test_the_first_model_is_one_with_a_stored_key(agent_dir):
    write_auth(agent_dir, {"groq": {"type": "api_key", "key": "k"}})

    async def main():
        manager = SessionManager.in_memory(agent_dir)
        async with create_agent(agent_dir=agent_dir, session_manager=manager) as agent:
            assert agent.model is not None
            return agent.model.provider

    assert asyncio.run(main()) == "groq"


def test_a_login_of_another_process_is_seen_by_the_next_prompt(fake, agent_dir, write_models):
    async def main():
        async with fake:
            config = fake.config(apiKey="$NOBODY_SETS_THIS", headers={"X-A": "$SCOPED"})
            write_models({"fake": config})
            manager = SessionManager.in_memory(agent_dir)
            async with create_agent(
                agent_dir=agent_dir, session_manager=manager, model="fake/m1"
            ) as agent:
                with pytest.raises(NoModelError, match="NOBODY_SETS_THIS"):
                    await agent.prompt("hi")
                stored = {"type": "api_key", "key": "k", "env": {"SCOPED": "scoped"}}
                write_auth(agent_dir, {"fake": stored})
                await agent.prompt("again")
            [request] = fake.server.requests
            return request.headers["authorization"], request.headers["x-a"]

    assert asyncio.run(main()) == ("Bearer k", "scoped")


def test_a_login_that_its_provider_has_not_is_no_missing_key(agent_dir):
    write_auth(agent_dir, {"groq": {"type": "oauth", "access": "a", "refresh": "r", "expires": 1}})

    async def main() -> None:
        manager = SessionManager.in_memory(agent_dir)
        async with create_agent(
            agent_dir=agent_dir, session_manager=manager, model="groq/openai/gpt-oss-120b"
        ) as agent:
            await agent.prompt("hi")

    with pytest.raises(NoModelError) as raised:
        asyncio.run(main())
    first, help_ = str(raised.value).split("\n\n")
    assert first == (
        'Authentication failed for "groq". Credentials may have expired or network is unavailable.'
    )
    assert "Log in again" in help_


def test_a_broken_auth_json_starts_an_agent_and_ends_its_prompts(
    fake, agent_dir, write_models, caplog
):
    path = agent_dir / "auth.json"
    path.write_text("{bad")

    async def main():
        async with fake:
            write_models({"fake": fake.config(apiKey="k")})
            manager = SessionManager.in_memory(agent_dir)
            async with create_agent(
                agent_dir=agent_dir, session_manager=manager, model="fake/m1"
            ) as agent:
                with pytest.raises(NoModelError, match=str(path)):
                    await agent.prompt("hi")
                agent.agent.stream_options = {"api_key": "explicit"}
                await agent.prompt("again")
            return fake.server.requests[0].headers["authorization"]

    assert asyncio.run(main()) == "Bearer explicit"
    assert path.read_text() == "{bad"
    assert f"Credential store read failed: Failed to parse {path}" in caplog.text


def test_the_rpc_server_takes_the_keys_of_its_agent_directory(agent_dir, project, monkeypatch):
    monkeypatch.setenv("PI_CODING_AGENT_DIR", str(agent_dir))
    monkeypatch.chdir(project)
    write_auth(agent_dir, {"groq": {"type": "api_key", "key": "k"}})

    async def main():
        async with await open_runtime(parse_arguments(["--no-session"])) as runtime:
            session = runtime.session
            auth = await session.models.credentials.get("groq")
            return session.model.provider, auth.source, auth.api_key

    assert asyncio.run(main()) == ("groq", "stored credential", "k")


def test_closing_an_agent_waits_for_tokens_that_are_being_refreshed(agent_dir, project):
    path = agent_dir / "auth.json"

    async def main():
        async with TokenServer() as server:
            server.hold = asyncio.Event()
            store = FileCredentialStore(path)
            models = Models(
                [ProviderSpec("own", oauth=ServerTokens(server.url))], credentials=store
            )

            async def change(_: Any) -> OAuthCredential:
                return OAuthCredential("A0", "R0", now_ms())

            await store.modify("own", change)
            agent = await create_agent(
                agent_dir=agent_dir,
                cwd=project,
                models=models,
                session_manager=SessionManager.in_memory(project),
            )
            asking = asyncio.create_task(models.credentials.get("own"))
            await server.asked.wait()
            asking.cancel()
            closing = asyncio.create_task(agent.aclose())
            await asyncio.sleep(0.02)
            assert not closing.done()
            server.hold.set()
            await closing

    asyncio.run(main())
    assert json.loads(path.read_text())["own"]["access"] == "A1"


@pytest.mark.parametrize("fails", [False, True], ids=["answered", "refused"])
def test_auth_check_57_a_whole_run_shows_no_secret(
    fake, answer, recorder, agent_dir, project, write_models, caplog, fails
):
    """Keys that are stored, scoped and printed: sent, and nowhere to be seen."""
    write_auth(
        agent_dir,
        {
            "fake": {
                "type": "api_key",
                "key": SECRETS[0],
                "env": {"SCOPED": SECRETS[1], "OTHER": "x"},
            }
        },
    )
    seen = recorder()
    headers = {"X-Scoped": "$SCOPED", "X-Printed": f"!echo {SECRETS[2]}"}

    async def main():
        async with fake:
            write_models({"fake": fake.config(headers=headers)})
            if fails:
                fake.answers = [answer(status=401, error="invalid key")]
            async with create_agent(agent_dir=agent_dir, cwd=project, model="fake/m1") as agent:
                agent.subscribe(seen)
                await agent.prompt("hi")
                shown = repr([agent, agent.agent, agent.models, agent.models.credentials])
                shown += repr(agent.models.get_providers()) + repr(agent.messages)
            [request] = fake.server.requests
            assert request.headers["authorization"] == f"Bearer {SECRETS[0]}"
            assert request.headers["x-scoped"] == SECRETS[1]
            assert request.headers["x-printed"] == SECRETS[2]
            return shown

    with caplog.at_level(logging.DEBUG):
        shown = asyncio.run(main())
    told = shown + caplog.text + "".join(encode(event).decode() for event in seen.events)
    told += repr(seen.events)
    assert "message_end" in told
    assert list((agent_dir / "sessions").rglob("*.jsonl"))
    for secret in SECRETS:
        assert secret not in told
    found = {secret: files_with(agent_dir.parent, secret) for secret in SECRETS}
    assert found == {
        SECRETS[0]: ["auth.json"],
        SECRETS[1]: ["auth.json"],
        SECRETS[2]: ["models.json"],
    }


def test_a_store_of_the_hosts_own_serves_an_agent(fake, agent_dir):
    class Vault:
        """Keeps keys where the host does; suspends, as one over a network would."""

        async def read(self, provider_id: str, signal: Any = None) -> Any:
            await asyncio.sleep(0)
            return ApiKeyCredential("from the vault")

        async def list(self, signal: Any = None) -> Any:
            await asyncio.sleep(0)
            raise ModelsError("not today", code="auth")

        async def modify(self, provider_id: str, change: Any, signal: Any = None) -> Any:
            raise NotImplementedError

        async def delete(self, provider_id: str, signal: Any = None) -> None:
            raise NotImplementedError

    async def main():
        async with fake:
            models = fake.models.copy(credentials=Vault())
            manager = SessionManager.in_memory(agent_dir)
            agent = await create_agent(agent_dir=agent_dir, models=models, session_manager=manager)
            with pytest.raises(NoModelError):
                await agent.prompt("hi")
            Vault.list = _empty_list
            await asyncio.gather(
                agent.prompt("one"), agent.prompt("two", streaming_behavior="followUp")
            )
            await agent.aclose()
            return [request.headers["authorization"] for request in fake.server.requests]

    assert set(asyncio.run(main())) == {"Bearer from the vault"}


async def _empty_list(_self: Any, signal: Any = None) -> Any:
    await asyncio.sleep(0)
    return []


def test_whoever_comes_while_credentials_are_looked_up_finds_the_session_free(fake, project):
    """The first to be ready is answered; a compaction, or closing, refuses those that wait."""
    store = _SlowStore()

    async def main() -> list[str]:
        found: list[str] = []

        async def meanwhile(*others: Any) -> None:
            store.answers.clear()
            asking = [asyncio.ensure_future(work) for work in others]
            await asyncio.sleep(0)
            assert not asking[0].done()
            store.answers.set()
            for end in await asyncio.gather(*asking, return_exceptions=True):
                found.append(str(end) if isinstance(end, Exception) else type(end).__name__)

        async with fake:
            models = fake.models.copy(credentials=store)
            manager = SessionManager.in_memory(project)
            agent = await create_agent(cwd=project, models=models, session_manager=manager)
            note = CustomMessage(custom_type="note", content="a")
            await meanwhile(agent.prompt("a"), agent.prompt("b"))
            await meanwhile(agent.prompt("c"), agent.send_custom_message(note, trigger_turn=True))
            await meanwhile(agent.prompt("d"), agent.compact())
            await meanwhile(agent.prompt("e"), agent.aclose())
            return found

    assert asyncio.run(main()) == [
        "AssistantMessage",
        BUSY,
        "AssistantMessage",
        "NoneType",
        "Cannot submit a prompt while compaction is in progress. "
        "Wait for compaction to finish and retry.",
        "Nothing to compact (session too small)",
        "The session is closed",
        "NoneType",
    ]


class _SlowStore(MemoryCredentialStore):
    """Lists nothing, when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = asyncio.Event()
        self.answers.set()

    async def list(self, signal: Any = None) -> Any:
        await self.answers.wait()
        return []
