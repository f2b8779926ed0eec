"""Credentials and login questions as values. Auth spec, section 2."""

from __future__ import annotations

import copy
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from pi_ai.auth import types as t
from pi_ai.auth.resolve import ResolvedAuth
from pi_ai.http.transport import HttpRequest
from pi_ai.provider import FetchContext, ProviderSpec
from pi_ai.secrets import Secret

TOKEN = "sk-ant-oat01-0123456789"
KEY = t.ApiKeyCredential(TOKEN, env={"A": TOKEN}, extra={"note": TOKEN})
TOKENS = t.OAuthCredential(TOKEN, TOKEN, 1.5, extra={"accountId": TOKEN})
HOLDERS: list[Any] = [
    KEY,
    TOKENS,
    t.ModelAuth(api_key=TOKEN, headers={"Authorization": TOKEN}),
    ResolvedAuth(api_key=TOKEN, headers={"Authorization": TOKEN}, source="OAuth"),
    HttpRequest(url="http://x", headers={"Authorization": TOKEN}, body=TOKEN.encode()),
    FetchContext(provider=ProviderSpec("own"), api_key=TOKEN, headers={"x-api-key": TOKEN}),
]


@pytest.mark.parametrize("holder", HOLDERS, ids=lambda holder: type(holder).__name__)
@pytest.mark.parametrize(
    "show",
    [repr, str, lambda value: repr([{"k": value}]), lambda value: str(list(value.__rich_repr__()))],
    ids=["repr", "str", "nested", "rich"],
)
def test_auth_check_57_no_holder_of_secrets_shows_them(
    holder: object, show: Callable[[Any], str]
) -> None:
    assert "sk-ant" not in show(holder)


def test_auth_check_57_local_variables_in_a_traceback_show_no_token() -> None:
    def fail(credential: t.OAuthCredential) -> None:
        access = credential.access
        first, fields = access[:8], {"refresh_token": credential.refresh, "first": access}
        raise ValueError(len(first) + len(fields))

    with pytest.raises(ValueError, match="10") as caught:
        fail(TOKENS)
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    text = "".join(shown.format())
    assert "access = <secret>" in text
    assert "sk-ant" not in text


def test_a_secret_is_a_string_in_all_but_its_repr() -> None:
    secret = Secret(TOKEN)
    assert secret == TOKEN
    assert f"Bearer {secret}" == f"Bearer {TOKEN}"
    assert (repr(secret[:5]), repr(secret[0]), repr(Secret(""))) == ("<secret>", "<secret>", "''")
    for same in (copy.deepcopy(secret), pickle.loads(pickle.dumps(secret))):
        assert same == TOKEN
        assert repr(same) == "<secret>"


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: t.ApiKeyCredential(5), "key: expected a string, found int"),
        (lambda: t.ApiKeyCredential(env={"A": 5}), "env: expected a string, found int"),
        (lambda: t.OAuthCredential(None, "R", 1), "access: expected a string, found NoneType"),
        (lambda: t.OAuthCredential("A", 1, 1), "refresh: expected a string, found int"),
    ],
    ids=["key", "env", "access", "refresh"],
)
def test_a_credential_of_wrong_types_is_refused(make: Callable[[], object], text: str) -> None:
    with pytest.raises(TypeError, match=text):
        make()


@pytest.mark.parametrize("expires", [float("nan"), float("inf"), True, None, "3"])
def test_an_expiry_is_a_finite_number(expires: Any) -> None:
    with pytest.raises(ValueError, match="expires: expected a finite number of milliseconds"):
        t.OAuthCredential("A", "R", expires)


def test_a_changed_credential_keeps_its_other_fields() -> None:
    changed = msgspec.structs.replace(TOKENS, access="new")
    assert (changed.access, changed.refresh, changed.extra) == ("new", TOKEN, TOKENS.extra)
    assert repr(changed.access) == "<secret>"


@pytest.mark.parametrize(
    ("event", "written"),
    [
        (
            t.AuthUrlEvent("https://x", instructions="Go"),
            {"type": "auth_url", "url": "https://x", "instructions": "Go"},
        ),
        (
            t.DeviceCodeEvent("AB-12", "https://x", interval_seconds=5, copy_code_on_confirm=False),
            {
                "type": "device_code",
                "userCode": "AB-12",
                "verificationUri": "https://x",
                "intervalSeconds": 5,
                "copyCodeOnConfirm": False,
            },
        ),
        (t.ProgressEvent("Wait"), {"type": "progress", "message": "Wait"}),
        (
            t.InfoEvent("See", links=[t.InfoLink("https://x", "X")]),
            {"type": "info", "message": "See", "links": [{"url": "https://x", "label": "X"}]},
        ),
    ],
    ids=lambda value: getattr(value, "type", ""),
)
def test_what_a_login_tells_has_upstreams_json(event: t.LoginEvent, written: object) -> None:
    assert msgspec.to_builtins(event) == written
    assert event.type == written["type"]


def test_a_provider_without_a_login_is_told_from_one_with() -> None:
    class Tokens:
        id, name, is_subscription, login_label = "own", "Own", True, None

        async def refresh(self, credential: Any, signal: Any = None) -> Any: ...
        async def to_auth(self, credential: Any) -> Any: ...

    class Login(Tokens):
        async def login(self, interaction: Any, options: Any) -> Any: ...

    assert not isinstance(Tokens(), t.OAuthProvider)
    assert isinstance(Login(), t.OAuthProvider)
