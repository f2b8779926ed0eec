"""`Models`: a collection of providers and their models, and the way from a model to its stream.

The module's functions use one default collection, the only state that is shared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Unpack

from msgspec import Struct
from msgspec.structs import replace

from pi_ai.abort import AbortSignal
from pi_ai.auth.credentials import Credentials
from pi_ai.auth.resolve import (
    AuthQuery,
    is_configured,
    require_auth,
    resolve_base_url,
)
from pi_ai.auth.runtime_keys import RuntimeKeys
from pi_ai.auth.storage import CredentialStore, MemoryCredentialStore
from pi_ai.builder import MessageBuilder
from pi_ai.catalog.loader import load_models
from pi_ai.catalog.providers import PROVIDERS
from pi_ai.check import check_request
from pi_ai.errors import AbortError, ModelsError, ProviderConnectionError
from pi_ai.http.transport import (
    HttpRequest,
    HttpResponse,
    Socket,
    SocketRequest,
    SocketTransport,
    Transport,
    merge_headers,
)
from pi_ai.identity import opencode_session_headers
from pi_ai.provider import (
    Adapter,
    Call,
    FetchContext,
    ProviderSpec,
    find_adapter,
    load_adapter,
)
from pi_ai.refresh import FetchedModels, RefreshResult
from pi_ai.session_memory import SessionMemory
from pi_ai.stream import AssistantStream, EventBatches
from pi_ai.subscription import CLAUDE_SUBSCRIPTION, ClaudeSubscription
from pi_ai.transcript import normalize_context
from pi_ai.types import (
    AssistantMessage,
    Compat,
    Context,
    DeferredHandle,
    Message,
    Model,
    StreamOptions,
)

__all__ = (
    "Models",
    "complete",
    "default_models",
    "get_model",
    "get_models",
    "get_providers",
    "model_from_url",
    "stream",
)


class Models:
    """Providers and their models, and the connections to them.

    Without arguments it knows the built-in providers. `transport` replaces the HTTP client,
    `subscription` what requests of a Claude subscription say of their sender. `credentials` is
    where keys and logins are kept: in this process's memory unless a store is given.
    """

    def __init__(
        self,
        providers: Iterable[ProviderSpec] | None = None,
        *,
        transport: Transport | None = None,
        subscription: ClaudeSubscription = CLAUDE_SUBSCRIPTION,
        credentials: CredentialStore | None = None,
    ) -> None:
        rows = PROVIDERS.values() if providers is None else providers
        self._providers = {row.id: row for row in rows}
        self._own_models: dict[str, dict[str, Model]] = {}
        self._fetched = FetchedModels()
        self._memory = SessionMemory()
        self._transport = transport
        self._subscription = subscription
        store = MemoryCredentialStore() if credentials is None else credentials
        self._keys = store if isinstance(store, RuntimeKeys) else RuntimeKeys(store)
        self.credentials = Credentials(self._keys, self._providers.get)

    def __repr__(self) -> str:
        return f"<Models of {len(self._providers)} providers>"

    # --- looking up ---------------------------------------------------------------------------

    def get_providers(self) -> list[ProviderSpec]:
        """Every provider, in the order it was added."""
        return list(self._providers.values())

    def get_models(self, provider: str | None = None) -> list[Model]:
        """The models of one provider, or of all; empty for an unknown one."""
        ids = self._providers if provider is None else (provider,)
        return [model for each in ids for model in self._models_of(each).values()]

    def get_model(self, provider: str, model_id: str) -> Model:
        """A model by its exact names. Raises `ModelsError`, which lists near matches."""
        model = self._models_of(provider).get(model_id)
        if model is not None:
            return model
        if provider not in self._providers:
            near = _near(provider, self._providers)
            raise ModelsError(f"Unknown provider: {provider}.{near}", code="provider")
        near = _near(model_id, self._models_of(provider))
        raise ModelsError(f'Model "{model_id}" not found for {provider}.{near}', code="model")

    def get_available(self, env: Mapping[str, str] | None = None) -> list[Model]:
        """The models of providers whose credentials are there.

        Stored ones count as of the last `credentials.list()`.
        """
        return [
            model
            for row in self._providers.values()
            if is_configured(row, env, self.credentials.known_type(row.id))
            for model in self.get_models(row.id)
        ]

    def check_credentials(self, model: Model, **options: Unpack[StreamOptions]) -> None:
        """Raise `ModelsError` if a request with these options would find no credentials.

        Stored ones count as of the last `credentials.list()`.
        """
        query = self._query(model, options)
        require_auth(replace(query, stored_type=self.credentials.known_type(model.provider)))

    def _query(self, model: Model, options: StreamOptions) -> AuthQuery:
        return AuthQuery(
            provider=self._providers.get(model.provider),
            model=model,
            api_key=options.get("api_key"),
            headers=merge_headers(model.headers, options.get("headers")),
            env=options.get("env") or {},
        )

    def set_provider(self, provider: ProviderSpec, models: Iterable[Model] = ()) -> None:
        """Add a provider, or replace the one of that id; `models` come on top of built-in ones.

        What was fetched for the replaced one is forgotten.
        """
        self._providers[provider.id] = provider
        self._own_models[provider.id] = {model.id: model for model in models}
        self._fetched.drop(provider.id)

    def get_provider(self, provider: str) -> ProviderSpec | None:
        """A provider by id."""
        return self._providers.get(provider)

    def copy(self, *, credentials: CredentialStore | None = None) -> Models:
        """A collection that changes on its own and uses this one's connections.

        The connections stay this collection's: closing the copy leaves them open. What was
        learnt about sessions is shared too, and so are the credentials unless others are given.
        """
        other = Models(
            self._providers.values(),
            transport=_Borrowed(lambda: self.transport, lambda: self._transport),
            subscription=self._subscription,
            credentials=self._keys if credentials is None else credentials,
        )
        other.credentials.get_device_id = self.credentials.get_device_id
        other._own_models = {name: dict(models) for name, models in self._own_models.items()}
        other._fetched = self._fetched.copy()
        other._memory = self._memory
        return other

    def _models_of(self, provider: str) -> Mapping[str, Model]:
        if provider not in self._providers:
            return {}
        own = {**self._own_models.get(provider, {}), **self._fetched.of(provider)}
        if provider not in PROVIDERS:
            return own
        built_in = load_models(provider)
        return {**built_in, **own} if own else built_in

    async def refresh(
        self,
        providers: str | Iterable[str] | None = None,
        *,
        allow_network: bool = True,
        signal: AbortSignal | None = None,
    ) -> RefreshResult:
        """Ask the providers that can tell for the models they have now, all at the same time.

        A fetched model replaces the one of its id, others come last; the next fetch replaces the
        whole list. Providers that are unknown, have no `fetch_models` or no credentials are
        passed over. A newer refresh of a provider supersedes one that runs. Never raises.
        """
        if providers is None:
            providers = self._providers
        ids = (providers,) if isinstance(providers, str) else providers
        contexts: list[FetchContext] = []
        for provider in dict.fromkeys(ids) if allow_network else ():
            row = self._providers.get(provider)
            if row is None or row.fetch_models is None:
                continue
            query = self._query(Model(id="", api="", provider=row.id, base_url=row.base_url), {})
            try:
                auth = await self.credentials.resolve(query, signal)
            except (ModelsError, AbortError):
                continue
            contexts.append(FetchContext(provider=row, api_key=auth.api_key, headers=auth.headers))
        return await self._fetched.refresh(contexts, signal)

    # --- asking -------------------------------------------------------------------------------

    def stream(
        self,
        model: Model,
        context: Context,
        *,
        adapter: Struct | None = None,
        **options: Unpack[StreamOptions],
    ) -> AssistantStream:
        """Ask `model`; the answer streams when the result is iterated or awaited.

        `options` are the neutral ones of `StreamOptions`; `adapter` holds those that only one
        wire format has, such as `AnthropicOptions`. Raises TypeError and ValueError for misuse,
        `ModelsError` for a wire format that nobody implements; failures of the provider, and
        missing credentials, end the stream as its `error` event.
        """
        check_request(model, context, adapter, options)
        provider = self._providers.get(model.provider)
        found = find_adapter(model.api, provider.apis if provider else {})
        message = MessageBuilder(model)
        batches = self._ask(message, normalize_context(context), found, adapter, options)
        return AssistantStream(message, batches, options.get("signal"))

    async def complete(
        self,
        model: Model,
        context: Context,
        *,
        adapter: Struct | None = None,
        **options: Unpack[StreamOptions],
    ) -> AssistantMessage:
        """Ask `model` and wait for the whole answer; see `stream`."""
        async with self.stream(model, context, adapter=adapter, **options) as events:
            return await events.result()

    async def fetch_deferred(self, handle: DeferredHandle) -> AssistantMessage:
        """The answer that was deferred, or a message with stop reason `deferred` if it waits.

        Raises `ModelsError` for a provider that never defers.
        """
        fetch = self._deferring(handle.provider).fetch_deferred
        if fetch is None:
            raise ModelsError(_no_deferral(handle.provider), code="provider")
        return await fetch(handle)

    async def cancel_deferred(self, handle: DeferredHandle) -> None:
        """Call a deferred answer off. Raises `ModelsError` for a provider that never defers."""
        cancel = self._deferring(handle.provider).cancel_deferred
        if cancel is None:
            raise ModelsError(_no_deferral(handle.provider), code="provider")
        await cancel(handle)

    def _deferring(self, provider: str) -> ProviderSpec:
        row = self._providers.get(provider)
        if row is None:
            raise ModelsError(f"Unknown provider: {provider}", code="provider")
        return row

    def forget_session(self, session_id: str) -> None:
        """Drop what was learnt about a session, once nothing will be asked in it any more.

        WebSockets that the running event loop keeps for it are closed.
        """
        self._memory.forget(session_id)
        if isinstance(self._transport, SocketTransport):
            self._transport.forget_sockets(session_id)

    async def aclose(self) -> None:
        """Close the connections of the running event loop, once refreshed tokens are stored."""
        await self.credentials.settled()
        if self._transport is not None:
            await self._transport.aclose()

    async def _ask(
        self,
        message: MessageBuilder,
        messages: list[Message],
        found: str | Adapter,
        adapter: Struct | None,
        options: StreamOptions,
    ) -> EventBatches:
        model = message.model
        provider = self._providers.get(model.provider)
        if provider is None and not model.base_url:
            raise ModelsError(f"Unknown provider: {model.provider}", code="provider")
        if options.get("deferred") and (provider is None or provider.fetch_deferred is None):
            raise ModelsError(_no_deferral(model.provider), code="provider")
        auth = await self.credentials.resolve(self._query(model, options), options.get("signal"))
        env = {**auth.env, **(options.get("env") or {})}
        base_url = auth.base_url or model.base_url
        session = opencode_session_headers(model, options.get("session_id"))
        call = Call(
            model=replace(model, base_url=resolve_base_url(base_url, env)),
            messages=messages,
            options=options,
            adapter=adapter,
            message=message,
            # not loaded for a provider that makes no request, such as a scripted one
            transport=self._transport or _Borrowed(lambda: self.transport, lambda: self._transport),
            api_key=auth.api_key,
            keyless=auth.keyless,
            headers=merge_headers(session, auth.headers, model.headers, options.get("headers")),
            env=env,
            memory=self._memory,
            subscription=self._subscription,
        )
        async with aclosing(load_adapter(found)(call)) as batches:
            async for events in batches:
                yield events

    @property
    def transport(self) -> Transport:
        """What sends the requests; made, and its HTTP client imported, at the first look."""
        if self._transport is None:
            from pi_ai.http.client import AiohttpTransport  # loads aiohttp: not before it is needed

            self._transport = AiohttpTransport()
        return self._transport


class _Borrowed:
    """The transport of another collection, which makes it when it is first needed."""

    def __init__(self, lend: Callable[[], Transport], made: Callable[[], Transport | None]) -> None:
        self._lend = lend
        self._made = made

    def post(self, request: HttpRequest) -> AbstractAsyncContextManager[HttpResponse]:
        """See `Transport.post`."""
        return self._lend().post(request)

    def connect(self, request: SocketRequest) -> AbstractAsyncContextManager[Socket]:
        """See `SocketTransport.connect`."""
        transport = self._lend()
        if not isinstance(transport, SocketTransport):
            raise ProviderConnectionError("The transport of these models opens no WebSockets")
        return transport.connect(request)

    def forget_sockets(self, session_id: str) -> None:
        """See `SocketTransport.forget_sockets`."""
        transport = self._made()
        if isinstance(transport, SocketTransport):
            transport.forget_sockets(session_id)

    async def aclose(self) -> None:
        """Nothing: the owner closes it."""


def _no_deferral(provider: str) -> str:
    return f"Provider {provider} does not support deferred responses"


def _near(word: str, known: Iterable[str]) -> str:
    """A sentence with the known words most like `word`."""
    from difflib import get_close_matches  # for error texts only

    names = list(known)
    folded = {name.lower(): name for name in names}
    found = [name for name in names if word and word.lower() in name.lower()][:5]
    for match in get_close_matches(word.lower(), folded, n=5, cutoff=0.5):
        if folded[match] not in found:
            found.append(folded[match])
    return f" Did you mean: {', '.join(found[:5])}?" if found else ""


def model_from_url(
    base_url: str,
    model_id: str,
    *,
    api: str = "openai-completions",
    provider: str = "local",
    reasoning: bool = False,
    images: bool = False,
    context_window: int = 128_000,
    max_tokens: int = 16_384,
    compat: Compat | None = None,
) -> Model:
    """A model of a server that the catalogue does not know, such as Ollama, llama.cpp or vLLM.

        model = model_from_url("http://127.0.0.1:11434/v1", "qwen3:8b")

    `base_url` is where `/chat/completions` hangs, or `/responses` for api "openai-responses",
    `/v1/messages` for "anthropic-messages", `/messages` for "pi-messages".
    A server on this machine or in a private network is asked without a key. Prices are unknown
    and count as 0.
    """
    return Model(
        id=model_id,
        api=api,
        provider=provider,
        base_url=base_url,
        reasoning=reasoning,
        input=["text", "image"] if images else ["text"],
        context_window=context_window,
        max_tokens=max_tokens,
        compat=compat,
    )


default_models = Models()
"""The collection behind this module's functions."""


def get_providers() -> list[ProviderSpec]:
    """Every provider of the default collection."""
    return default_models.get_providers()


def get_models(provider: str | None = None) -> list[Model]:
    """The models of one provider, or of all; see `Models.get_models`."""
    return default_models.get_models(provider)


def get_model(provider: str, model_id: str) -> Model:
    """A model by its exact names, `get_model("anthropic", "claude-sonnet-4-5")`.

    Raises `ModelsError`, which lists near matches.
    """
    return default_models.get_model(provider, model_id)


def stream(
    model: Model,
    context: Context,
    *,
    adapter: Struct | None = None,
    **options: Unpack[StreamOptions],
) -> AssistantStream:
    """Ask `model`; see `Models.stream`."""
    return default_models.stream(model, context, adapter=adapter, **options)


async def complete(
    model: Model,
    context: Context,
    *,
    adapter: Struct | None = None,
    **options: Unpack[StreamOptions],
) -> AssistantMessage:
    """Ask `model` and wait for the whole answer; see `Models.complete`."""
    return await default_models.complete(model, context, adapter=adapter, **options)
