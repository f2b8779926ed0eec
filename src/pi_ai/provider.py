"""What a provider is (a row of facts), what an adapter is (a function), and one call to it."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, Protocol, TypeAlias, TypeVar, cast

from msgspec import Struct, field
from msgspec.structs import force_setattr

from pi_ai.auth.types import OAuthHandler
from pi_ai.builder import MessageBuilder
from pi_ai.errors import ModelsError
from pi_ai.http.transport import Transport
from pi_ai.secrets import Masked, Secret
from pi_ai.session_memory import SessionMemory
from pi_ai.stream import EventBatches
from pi_ai.subscription import CLAUDE_SUBSCRIPTION, ClaudeSubscription
from pi_ai.types import AssistantMessage, DeferredHandle, Message, Model, StreamOptions

__all__ = (
    "KNOWN_APIS",
    "Adapter",
    "Call",
    "CancelDeferred",
    "FetchContext",
    "FetchDeferred",
    "FetchModels",
    "ProviderSpec",
    "find_adapter",
    "load_adapter",
    "load_oauth",
)

KNOWN_APIS: Mapping[str, str] = {
    "anthropic-messages": "pi_ai.api.anthropic_messages",
    "azure-openai-responses": "pi_ai.api.azure_responses",
    "openai-codex-responses": "pi_ai.api.codex_responses",
    "openai-completions": "pi_ai.api.openai_completions",
    "openai-responses": "pi_ai.api.openai_responses",
    "pi-messages": "pi_ai.api.pi_messages",
}
"""The module behind each wire format; imported at the first request."""

Options = TypeVar("Options", bound=Struct, covariant=True)
"""The options struct of one adapter."""


class Call(Masked, Generic[Options], frozen=True, kw_only=True):
    """One request as an adapter sees it: everything resolved, nothing sent.

    `messages` is the transcript, prompt and tools inside its system messages. `headers` are those
    of credentials and caller, where None removes a header. `adapter` holds the options that only
    this wire format has; None means the neutral options decide. `keyless`: the server needs no
    credentials. `memory` holds what adapters learn about sessions, for the collection of models
    that makes the request; `subscription` is what requests of a Claude subscription say.
    """

    model: Model
    messages: Sequence[Message]
    options: StreamOptions
    adapter: Options | None
    message: MessageBuilder
    transport: Transport
    api_key: str | None
    keyless: bool = False
    headers: Mapping[str, str | None]
    env: Mapping[str, str]
    memory: SessionMemory = field(default_factory=SessionMemory)
    subscription: ClaudeSubscription = CLAUDE_SUBSCRIPTION

    def __repr__(self) -> str:  # options, key, headers and env may hold secrets
        return f"<Call of {self.model.provider}/{self.model.id}, {len(self.messages)} messages>"


class Adapter(Protocol):
    """The `stream` function of a module in `pi_ai.api`.

    Yields the events of one network read at a time, `start` first. Raises `ProviderError` on
    failure; a clean end without `Call.message.stop(...)` is a failure too. Calling it does
    nothing until it is iterated.
    """

    def __call__(self, call: Call[Struct], /) -> EventBatches: ...


class FetchContext(Masked, frozen=True, kw_only=True):
    """What a provider's `fetch_models` is given: the provider, and credentials as for a request.

    `headers` bring those credentials that are no key.
    """

    provider: ProviderSpec
    api_key: str | None = None
    headers: Mapping[str, str | None] = {}

    def __repr__(self) -> str:  # key and headers are secrets
        return f"<FetchContext of {self.provider.id}>"


FetchModels: TypeAlias = Callable[[FetchContext], Awaitable[Sequence[Model]]]
"""Asks a provider which models it has. May raise; is cancelled when a newer fetch replaces it."""


FetchDeferred: TypeAlias = Callable[[DeferredHandle], Awaitable[AssistantMessage]]
"""Gives a deferred answer, or a message that is still `deferred`."""

CancelDeferred: TypeAlias = Callable[[DeferredHandle], Awaitable[None]]
"""Calls a deferred answer off."""


class ProviderSpec(Struct, frozen=True):
    """A provider: where it is, which variables hold its key, and formats of its own.

    `env` lists the variables in the order they are tried. `apis` adds wire formats to
    `KNOWN_APIS`, as a map from the format's name to the module with its `stream` function, or to
    the function itself. `needs_key` False: requests without credentials are fine. `fetch_models`
    gives the models that the provider has now, for `Models.refresh`. `fetch_deferred` and
    `cancel_deferred` come with a provider that can answer later. `key` is a config value (a
    literal, a template of `$VAR`s, a `!command`) that wins over `env`. `oauth` knows the tokens of
    a login: the object, or `module:Class` of one to import and make when it is needed.
    """

    id: str
    name: str = ""
    base_url: str = ""
    env: Sequence[str] = ()
    apis: Mapping[str, str | Adapter] = {}
    needs_key: bool = True
    fetch_models: FetchModels | None = None
    fetch_deferred: FetchDeferred | None = None
    cancel_deferred: CancelDeferred | None = None
    key: str | None = None
    oauth: str | OAuthHandler | None = None

    def __post_init__(self) -> None:
        if self.key is not None:
            force_setattr(self, "key", Secret(self.key))


def find_adapter(api: str, own: Mapping[str, str | Adapter]) -> str | Adapter:
    """Where the adapter of a wire format is. `own` are a provider's own formats.

    Raises `ModelsError` for a format that nobody implements.
    """
    found = own.get(api) or KNOWN_APIS.get(api)
    if found is None:
        known = ", ".join(sorted({*KNOWN_APIS, *own}))
        raise ModelsError(
            f"No API provider registered for api: {api}. Known here: {known}", code="provider"
        )
    return found


def load_adapter(found: str | Adapter) -> Adapter:
    """The adapter that `find_adapter` found, its module imported."""
    if isinstance(found, str):
        return cast("Adapter", importlib.import_module(found).stream)
    return found


def load_oauth(provider: ProviderSpec) -> OAuthHandler | None:
    """What knows the tokens of logins to `provider`, its module imported; None without logins."""
    found = provider.oauth
    if isinstance(found, str):
        module, _, name = found.partition(":")
        return cast("OAuthHandler", getattr(importlib.import_module(module), name)())
    return found
