"""A login's talk with its host: cancelling, choosing a method, and hosts that bring callbacks.

Source: auth spec, section 2.3.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from pi_ai.abort import AbortSignal, abort_scope
from pi_ai.auth.types import (
    AuthUrlEvent,
    DeviceCodeEvent,
    InfoEvent,
    LoginEvent,
    LoginInteraction,
    LoginOptions,
    LoginPrompt,
    ManualCodePrompt,
    ProgressEvent,
    SecretPrompt,
    SelectOption,
    SelectPrompt,
    TextPrompt,
)
from pi_ai.errors import AbortError, OAuthError

__all__ = ("CANCELLED", "CallbackInteraction", "choose_method", "login_scope")

CANCELLED = "Login cancelled"
"""The text of every login that was cancelled."""


@contextmanager
def login_scope(signal: AbortSignal | None) -> Generator[None, None, None]:
    """Cancel what a block waits for when `signal` is set; it then leaves with `Login cancelled`.

    So does a block that fails, or ends, after the signal was set.
    """
    try:
        with abort_scope(signal):
            yield
    except Exception as error:
        if signal is not None and signal.aborted:
            raise AbortError(CANCELLED) from error
        raise
    if signal is not None and signal.aborted:
        raise AbortError(CANCELLED)


async def choose_method(
    interaction: LoginInteraction,
    options: LoginOptions,
    message: str,
    *,
    choices: Sequence[SelectOption],
) -> str:
    """The login method: the one of `options`, else what the user selects. May be no choice's id."""
    if options.method is not None:
        return options.method
    prompt = SelectPrompt(message=message, options=choices, signal=interaction.signal)
    return await interaction.prompt(prompt)


Answer: TypeAlias = str | Awaitable[str]


@dataclass(frozen=True, kw_only=True)
class CallbackInteraction:
    """A `LoginInteraction` of single functions, which may be async.

    `on_prompt` asks for texts and secrets. `on_manual_code_input` asks for what the browser ended
    at; without it `on_prompt` does, and without both the login waits for the browser alone.
    `on_select` answers with an option's id; None cancels the login. A login that needs a function
    which the host left out raises `OAuthError`, which names it.
    """

    on_auth: Callable[[AuthUrlEvent], object]
    on_device_code: Callable[[DeviceCodeEvent], object] | None = None
    on_progress: Callable[[str], object] | None = None
    on_prompt: Callable[[TextPrompt | SecretPrompt | ManualCodePrompt], Answer] | None = None
    on_manual_code_input: Callable[[], Answer] | None = None
    on_select: Callable[[SelectPrompt], str | Awaitable[str | None] | None] | None = None
    signal: AbortSignal | None = None

    def notify(self, event: LoginEvent, /) -> None:
        """See `LoginInteraction.notify`."""
        match event:
            case AuthUrlEvent():
                self.on_auth(event)
            case DeviceCodeEvent():
                if self.on_device_code is None:
                    raise OAuthError("A device code login needs on_device_code")
                self.on_device_code(event)
            case ProgressEvent(message=message) | InfoEvent(message=message):
                if self.on_progress is not None:
                    self.on_progress(message)

    async def prompt(self, prompt: LoginPrompt, /) -> str:
        """See `LoginInteraction.prompt`."""
        match prompt:
            case SelectPrompt():
                if self.on_select is None:
                    raise OAuthError(
                        "This login asks for a method: give on_select, or LoginOptions(method=...)"
                    )
                chosen = self.on_select(prompt)
                answer = await chosen if inspect.isawaitable(chosen) else chosen
                if answer is None:
                    raise AbortError(CANCELLED)
                return answer
            case ManualCodePrompt() if self.on_manual_code_input is not None:
                return await _answer(self.on_manual_code_input())
            case ManualCodePrompt() if self.on_prompt is None:
                return await _never(prompt.signal)
            case _:
                if self.on_prompt is None:
                    raise OAuthError("This login asks for a text: give on_prompt")
                return await _answer(self.on_prompt(prompt))


async def _answer(answer: Answer) -> str:
    return answer if isinstance(answer, str) else await answer


async def _never(signal: AbortSignal | None) -> str:
    """Wait until the question is withdrawn."""
    with abort_scope(signal):
        await asyncio.Event().wait()
    raise AssertionError


if TYPE_CHECKING:
    _: LoginInteraction = CallbackInteraction(on_auth=repr)
