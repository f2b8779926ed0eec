"""Hosts that bring callbacks, and how logins are cancelled. Auth spec, section 2.3."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pi_ai.abort import AbortController
from pi_ai.auth.oauth.interaction import CallbackInteraction, login_scope
from pi_ai.auth.types import (
    AuthUrlEvent,
    DeviceCodeEvent,
    InfoEvent,
    LoginInteraction,
    LoginOptions,
    ManualCodePrompt,
    ProgressEvent,
    SecretPrompt,
    SelectOption,
    SelectPrompt,
    TextPrompt,
)
from pi_ai.errors import AbortError, OAuthError
from pi_ai.testing.login_server import LoginServer

CHOICE = SelectPrompt(message="Which?", options=[SelectOption("a", "A")])


def test_events_go_to_their_callbacks() -> None:
    told: list[object] = []
    host: LoginInteraction = CallbackInteraction(
        on_auth=told.append, on_device_code=told.append, on_progress=told.append
    )
    url, code = AuthUrlEvent("https://x"), DeviceCodeEvent("AB", "https://x")
    for event in (url, code, ProgressEvent("Wait"), InfoEvent("Know")):
        host.notify(event)
    assert told == [url, code, "Wait", "Know"]
    CallbackInteraction(on_auth=told.append).notify(ProgressEvent("Nobody listens"))


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
def test_prompts_go_to_their_callbacks(is_async: bool) -> None:
    def answering(name: str) -> Any:
        async def later(*_prompt: object) -> str:
            return name

        return later if is_async else lambda *_prompt: name

    async def answers(host: CallbackInteraction, *prompts: Any) -> list[str]:
        return [await host.prompt(prompt) for prompt in prompts]

    texts = [TextPrompt(message="?"), SecretPrompt(message="?"), ManualCodePrompt(message="?")]
    ask, paste, select = (answering(name) for name in ("ask", "paste", "select"))
    host = CallbackInteraction(on_auth=print, on_prompt=ask, on_select=select)
    assert asyncio.run(answers(host, *texts, CHOICE)) == ["ask", "ask", "ask", "select"]
    host = CallbackInteraction(on_auth=print, on_prompt=ask, on_manual_code_input=paste)
    assert asyncio.run(answers(host, *texts)) == ["ask", "ask", "paste"]


def test_no_choice_cancels_the_login() -> None:
    host = CallbackInteraction(on_auth=print, on_select=lambda _prompt: None)
    with pytest.raises(AbortError, match=r"^Login cancelled$"):
        asyncio.run(host.prompt(CHOICE))


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        (CHOICE, "give on_select, or LoginOptions"),
        (TextPrompt(message="?"), "give on_prompt"),
        (SecretPrompt(message="?"), "give on_prompt"),
    ],
)
def test_a_callback_that_is_missing_is_named(prompt: Any, text: str) -> None:
    with pytest.raises(OAuthError, match=text):
        asyncio.run(CallbackInteraction(on_auth=print).prompt(prompt))


def test_a_device_code_that_nobody_shows_is_an_error() -> None:
    with pytest.raises(OAuthError, match="needs on_device_code"):
        CallbackInteraction(on_auth=print).notify(DeviceCodeEvent("AB", "https://x"))


def test_without_a_way_to_paste_the_browser_alone_will_do() -> None:
    async def run() -> None:
        async with LoginServer() as server:
            visits: list[asyncio.Task[Any]] = []

            def open_browser(event: AuthUrlEvent) -> None:
                visits.append(asyncio.create_task(server.visit(event.url)))

            host = CallbackInteraction(on_auth=open_browser)
            login = server.anthropic().login(host, LoginOptions(method="browser"))
            credential = await asyncio.wait_for(login, 5)
            assert credential.access.startswith("sk-ant-oat")
            [page] = await asyncio.gather(*visits)
            assert page[0] == 200

    asyncio.run(run())


def test_a_scope_takes_every_failure_after_the_signal_for_the_cancellation() -> None:
    async def run(fail: bool) -> None:
        controller = AbortController()
        with login_scope(controller.signal):
            controller.abort()
            if fail:
                raise ValueError("a consequence")

    for fail in (False, True):
        with pytest.raises(AbortError, match=r"^Login cancelled$"):
            asyncio.run(run(fail))


def test_a_scope_leaves_other_failures_alone() -> None:
    async def run() -> None:
        with login_scope(AbortController().signal):
            raise AbortError("the user closed the window")

    with pytest.raises(AbortError, match="closed the window"):
        asyncio.run(run())
