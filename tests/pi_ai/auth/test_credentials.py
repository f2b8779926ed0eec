"""Which credentials requests get, logging in and out, what is told of them. Auth spec, 6 and 8."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from pi_ai import AbortController, AbortError, Models, ModelsError, ProviderSpec
from pi_ai.auth.storage import CredentialStore, FileCredentialStore, MemoryCredentialStore
from pi_ai.auth.types import (
    ApiKeyCredential,
    AuthCheck,
    AuthStatus,
    Credential,
    CredentialInfo,
    LoginEvent,
    LoginOptions,
    LoginPrompt,
    ModelAuth,
    OAuthCredential,
    SecretPrompt,
    UnknownCredential,
)
from pi_ai.testing import LoopbackResponse, LoopbackServer
from support.exchanges import BODIES, HI, C, M
from support.transports import CannedTransport

FOREVER = 9007199254740991
TOKENS = OAuthCredential("token", "R", FOREVER)
LATER_KEY = ApiKeyCredential("stored")


class Login:
    """A provider of logins, for the tests."""

    id, name, is_subscription, login_label = "own", "Own", True, None

    async def login(self, interaction: Any, options: LoginOptions) -> OAuthCredential:
        code = await interaction.prompt(SecretPrompt(message=f"Code for {options.agent_name}"))
        return OAuthCredential(f"token-{code}", "R", FOREVER)

    async def refresh(self, credential: OAuthCredential, signal: Any = None) -> OAuthCredential:
        raise AssertionError("nothing expires here")

    async def to_auth(self, credential: OAuthCredential) -> ModelAuth:
        return ModelAuth(
            api_key=credential.access, headers={"X-Own": "1"}, base_url="https://own.test/v2"
        )


OWN = ProviderSpec("own", "Own", env=("OWN_KEY",), key="configured", oauth=Login())
PLAIN = replace(OWN, key=None, oauth=None)


class Answers:
    """An interaction that answers with given texts."""

    def __init__(self, *answers: str, signal: Any = None) -> None:
        self.signal = signal
        self.asked: list[LoginPrompt] = []
        self._answers = list(answers)

    async def prompt(self, prompt: LoginPrompt) -> str:
        self.asked.append(prompt)
        return self._answers.pop(0)

    def notify(self, event: LoginEvent) -> None:
        raise AssertionError(event)


def models_with(
    spec: ProviderSpec = OWN, stored: Mapping[str, Credential] | None = None, **options: Any
) -> Models:
    models = Models((), credentials=MemoryCredentialStore(stored), **options)
    models.set_provider(spec, [replace(M, provider=spec.id, base_url="https://own.test/v1")])
    return models


def sent(models: Models, **options: Any) -> str | None:
    """The bearer that a request carries, or the error instead."""
    transport = CannedTransport(BODIES["openai-completions"])
    models._transport = transport
    [model] = models.get_models()
    message = asyncio.run(models.complete(model, HI, **options))
    if message.error_message:
        return message.error_message
    return transport.requests[0].headers.get("Authorization")


@pytest.mark.parametrize(
    ("present", "used"),
    [
        ("option runtime stored configured environment", "option"),
        ("runtime stored configured environment", "runtime"),
        ("stored configured environment", "stored"),
        ("configured environment", "configured"),
        ("environment", "environment"),
    ],
)
def test_auth_check_47_which_key_wins(
    present: str, used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = present.split()
    models = models_with(
        replace(OWN, key="configured" if "configured" in places else None),
        {"own": LATER_KEY} if "stored" in places else {},
    )
    if "runtime" in places:
        models.credentials.set_runtime_api_key("own", "runtime")
    if "environment" in places:
        monkeypatch.setenv("OWN_KEY", "environment")
    options = {"api_key": "option"} if "option" in places else {}
    assert sent(models, **options) == f"Bearer {used}"


@pytest.mark.parametrize(
    ("stored", "spec", "bearer"),
    [
        (ApiKeyCredential("$NOBODY_SETS_THIS"), PLAIN, "environment"),
        (ApiKeyCredential("!exit 1"), PLAIN, "environment"),
        (ApiKeyCredential(""), PLAIN, "environment"),
        (ApiKeyCredential(), PLAIN, "environment"),
        (ApiKeyCredential("$NOBODY_SETS_THIS"), replace(OWN, oauth=None), "configured"),
        (ApiKeyCredential("$OWN_PART", env={"OWN_PART": "scoped"}), PLAIN, "scoped"),
        (ApiKeyCredential(env={"OWN_KEY": "scoped"}), PLAIN, "scoped"),
    ],
    ids=["unset", "command", "empty", "none", "configured", "scoped template", "scoped variable"],
)
def test_auth_check_47_a_stored_key_without_a_value_makes_room(
    stored: Credential, spec: ProviderSpec, bearer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OWN_KEY", "environment")
    assert sent(models_with(spec, {"own": stored})) == f"Bearer {bearer}"


@pytest.mark.parametrize(
    ("stored", "spec"),
    [
        (TOKENS, PLAIN),
        (UnknownCredential("passkey"), OWN),
        (LATER_KEY, ProviderSpec("own", oauth=Login())),
    ],
    ids=["tokens without a handler", "unknown type", "key for logins only"],
)
def test_auth_check_47_what_is_stored_owns_the_provider(
    stored: Credential, spec: ProviderSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OWN_KEY", "environment")
    models = models_with(spec, {"own": stored})
    assert sent(models) == (
        "Provider is not configured: own. What is stored for it cannot be used. "
        "Log in again, or log out to use other keys"
    )
    assert asyncio.run(models.credentials.get("own")) is None
    asyncio.run(models.credentials.list())
    assert models.get_available() == []


def test_an_empty_key_option_skips_what_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN_KEY", "environment")
    assert sent(models_with(PLAIN, {"own": LATER_KEY}), api_key="") == "Bearer environment"


def test_tokens_are_sent_as_their_handler_says() -> None:
    models = models_with(stored={"own": TOKENS})
    assert sent(models) == "Bearer token"
    [request] = models.transport.requests
    assert request.url == "https://own.test/v2/chat/completions"
    assert request.headers["X-Own"] == "1"
    auth = asyncio.run(models.credentials.get("own"))
    assert auth is not None
    assert (auth.source, repr(auth)) == ("OAuth", "<ResolvedAuth from OAuth>")


@pytest.mark.parametrize(
    ("stored", "header", "value"),
    [
        (ApiKeyCredential("sk-ant-api03-k"), "x-api-key", "sk-ant-api03-k"),
        (OAuthCredential("sk-ant-oat01-t", "R", FOREVER), "authorization", "Bearer sk-ant-oat01-t"),
    ],
    ids=["key", "tokens"],
)
def test_what_is_stored_for_anthropic_is_sent_by_a_real_client(
    stored: Credential, header: str, value: str
) -> None:
    async def main() -> Mapping[str, str]:
        answer = LoopbackResponse(BODIES["anthropic-messages"])
        async with LoopbackServer(lambda _request: answer) as server:
            models = Models(credentials=MemoryCredentialStore({"anthropic": stored}))
            model = replace(C, provider="anthropic", base_url=server.url)
            message = await models.complete(model, HI)
            assert message.error_message is None
            await models.aclose()
            return server.requests[0].headers

    headers = asyncio.run(main())
    assert headers[header] == value
    assert ("x-api-key" in headers) != ("authorization" in headers)


def test_variables_that_are_stored_with_a_key_fill_in_the_address() -> None:
    stored = {"own": ApiKeyCredential("k", env={"CLOUDFLARE_ACCOUNT_ID": "acc"})}
    models = models_with(PLAIN, stored)
    model = replace(models.get_models()[0], base_url="https://own.test/{CLOUDFLARE_ACCOUNT_ID}")
    models.set_provider(PLAIN, [model])
    assert sent(models) == "Bearer k"
    [request] = models.transport.requests
    assert request.url == "https://own.test/acc/chat/completions"


def test_auth_check_49_anthropic_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = Models().credentials
    names = ("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_OAUTH_TOKEN", "ANTHROPIC_API_KEY")
    for name in names:
        monkeypatch.setenv(name, name.lower())
    found = []
    for name in names:
        auth = asyncio.run(credentials.get("anthropic"))
        assert auth is not None
        found.append((auth.source, auth.api_key, dict(auth.headers)))
        monkeypatch.setenv(name, "   ")
    assert found == [
        (names[0], None, {"Authorization": "Bearer anthropic_auth_token"}),
        (names[1], "anthropic_oauth_token", {}),
        (names[2], "anthropic_api_key", {}),
    ]
    assert asyncio.run(credentials.get("anthropic")) is None


def test_a_failure_to_derive_is_told_as_such() -> None:
    class Failing(Login):
        async def to_auth(self, credential: OAuthCredential) -> ModelAuth:
            raise ValueError("no account")

    models = models_with(replace(OWN, oauth=Failing()), {"own": TOKENS})
    assert sent(models) == "OAuth auth derivation failed for own: no account"


# --- a store that fails -----------------------------------------------------------------------


@pytest.mark.parametrize("text", ["{bad", '{"own": {"type": "oauth"}}'], ids=["file", "entry"])
def test_a_broken_store_is_an_error_that_an_explicit_key_passes_by(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OWN_KEY", "environment")
    path = tmp_path / "auth.json"
    path.write_text(text)
    models = Models((), credentials=FileCredentialStore(path))
    models.set_provider(OWN, [replace(M, provider="own", base_url="https://own.test/v1")])
    error = sent(models)
    assert error is not None
    assert error.startswith("Credential store read failed for own: ")
    assert sent(models, api_key="option") == "Bearer option"
    user = Answers("k", "k")
    for kind in ("api_key", "oauth"):
        with pytest.raises(ModelsError, match=r"Credential store (modify|read) failed") as raised:
            asyncio.run(models.credentials.login("own", kind, user))
        assert raised.value.code == "auth"
    assert len(user.asked) == (2 if '"own"' in text else 1)  # no login into a broken file
    assert path.read_text() == text
    if '"own"' in text:
        assert str(raised.value).endswith("Correct the entry, or log out to remove it.")
        asyncio.run(models.credentials.logout("own"))
        asyncio.run(models.credentials.login("own", "oauth", Answers("k")))


# --- logging in and out -----------------------------------------------------------------------


def test_a_login_is_stored_and_a_logout_is_final(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "auth.json"
    models = Models([OWN], credentials=FileCredentialStore(path))
    credentials = models.credentials

    async def main() -> None:
        await credentials.login("own", "oauth", Answers("c"), LoginOptions(agent_name="me"))
        assert json.loads(path.read_text())["own"]["access"] == "token-c"
        assert await credentials.check("own") == AuthCheck("oauth", "OAuth")
        assert await credentials.list() == [CredentialInfo("own", "oauth")]
        interaction = Answers(" sk-1 ")
        await credentials.login("own", "api_key", interaction)
        assert interaction.asked == [SecretPrompt(message="Enter Own API key")]
        assert json.loads(path.read_text()) == {"own": {"type": "api_key", "key": "sk-1"}}
        credentials.set_runtime_api_key("own", "k")
        await credentials.logout("own")
        await credentials.logout("own")
        assert not credentials.has_runtime_api_key("own")
        assert await credentials.list() == []

    asyncio.run(main())
    monkeypatch.setenv("OWN_KEY", "environment")
    models.set_provider(PLAIN)
    auth = asyncio.run(credentials.get("own"))
    assert auth is not None
    assert auth.source == "OWN_KEY"


def test_auth_check_52_a_logout_twice_leaves_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OWN_KEY", "environment")
    models = models_with(PLAIN, {"own": LATER_KEY})
    asyncio.run(models.credentials.logout("own"))
    asyncio.run(models.credentials.logout("own"))
    assert sent(models) == "Bearer environment"


@pytest.mark.parametrize(
    ("provider_id", "kind", "code", "text"),
    [
        ("nope", "oauth", "provider", "Unknown provider: nope"),
        ("openai-codex", "api_key", "auth", "OpenAI Codex does not support api_key login"),
        ("groq", "oauth", "auth", "Groq does not support oauth login"),
    ],
)
def test_auth_check_53_a_login_that_there_is_not(
    provider_id: str, kind: Any, code: str, text: str
) -> None:
    with pytest.raises(ModelsError, match=f"^{text}$") as raised:
        asyncio.run(Models().credentials.login(provider_id, kind, Answers()))
    assert raised.value.code == code


def test_an_empty_key_is_not_stored() -> None:
    models = models_with()
    with pytest.raises(ModelsError, match="API key auth failed for provider own: no key"):
        asyncio.run(models.credentials.login("own", "api_key", Answers("  ")))
    assert asyncio.run(models.credentials.list()) == []


@pytest.mark.parametrize("moment", ["before", "at the last question"])
@pytest.mark.parametrize("kind", ["oauth", "api_key"])
def test_auth_check_18_a_cancelled_login_stores_nothing(moment: str, kind: Any) -> None:
    controller = AbortController()

    class Cancelled(Answers):
        async def prompt(self, prompt: LoginPrompt) -> str:
            controller.abort()
            return await super().prompt(prompt)

    interaction = Cancelled("answer", signal=controller.signal)
    if moment == "before":
        controller.abort()
    models = models_with()
    with pytest.raises(AbortError, match=r"^Login cancelled$"):
        asyncio.run(models.credentials.login("own", kind, interaction))
    assert len(interaction.asked) == (moment != "before")
    assert asyncio.run(models.credentials.list()) == []


# --- what is told -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "stored", "runtime", "environment", "status", "check"),
    [
        (OWN, TOKENS, True, True, AuthStatus(True, "runtime"), ("api_key", "stored credential")),
        (OWN, TOKENS, False, True, AuthStatus(True, "stored"), ("oauth", "OAuth")),
        (PLAIN, TOKENS, False, True, AuthStatus(True, "stored"), None),
        (
            OWN,
            None,
            False,
            True,
            AuthStatus(True, "models_json_key"),
            ("api_key", "configured API key"),
        ),
        (
            replace(OWN, key="!touch ran"),
            None,
            False,
            True,
            AuthStatus(True, "models_json_command"),
            ("api_key", "configured API key"),
        ),
        (
            PLAIN,
            None,
            False,
            True,
            AuthStatus(True, "environment", "OWN_KEY"),
            ("api_key", "OWN_KEY"),
        ),
        (PLAIN, None, False, False, AuthStatus(False), None),
        (replace(OWN, key="$NOBODY_SETS_THIS"), None, False, False, AuthStatus(False), None),
    ],
    ids=["runtime", "tokens", "unusable", "configured", "command", "variable", "none", "unset"],
)
def test_what_is_told_of_a_provider(
    spec: ProviderSpec,
    stored: Credential | None,
    runtime: bool,
    environment: bool,
    status: AuthStatus,
    check: tuple[Any, str] | None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    if environment:
        monkeypatch.setenv("OWN_KEY", "k")
    models = models_with(spec, {"own": stored} if stored else {})
    if runtime:
        models.credentials.set_runtime_api_key("own", "k")
    assert asyncio.run(models.credentials.status("own")) == status
    assert asyncio.run(models.credentials.check("own")) == (AuthCheck(*check) if check else None)
    assert not (tmp_path / "ran").exists()


def test_a_runtime_key_is_literal_listed_and_taken_away_again() -> None:
    models = models_with(PLAIN, {"own": LATER_KEY, "other": LATER_KEY})
    credentials = models.credentials
    credentials.set_runtime_api_key("own", "$K")
    credentials.set_runtime_api_key("third", "k")
    assert sent(models) == "Bearer $K"
    assert [info.provider_id for info in asyncio.run(credentials.list())] == [
        "own",
        "other",
        "third",
    ]
    assert "$K" not in repr(credentials)
    credentials.set_runtime_api_key("third", "")
    assert not credentials.has_runtime_api_key("third")
    credentials.remove_runtime_api_key("own")
    assert sent(models) == "Bearer stored"


def test_a_copy_shares_credentials_unless_it_is_given_others() -> None:
    models = models_with(PLAIN, {"own": LATER_KEY})
    models.credentials.set_runtime_api_key("own", "runtime")
    store: CredentialStore = MemoryCredentialStore({"own": ApiKeyCredential("other")})
    assert sent(models.copy()) == "Bearer runtime"
    assert sent(models.copy(credentials=store)) == "Bearer other"
