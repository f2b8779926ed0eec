"""`Credentials`: what a collection of models knows of keys and logins, and what to do with them.

Source: auth spec, section 6.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from pi_ai.abort import AbortSignal
from pi_ai.auth.config_value import ConfigValue
from pi_ai.auth.resolve import (
    AuthQuery,
    ResolvedAuth,
    api_key_auth,
    find_sources,
    is_oauth_only,
    is_unset,
    missing_auth,
    own_auth,
)
from pi_ai.auth.runtime_keys import RuntimeKeys
from pi_ai.auth.token_refresh import TokenRefresher
from pi_ai.auth.types import (
    ApiKeyCredential,
    AuthCheck,
    AuthStatus,
    Credential,
    CredentialInfo,
    CredentialType,
    GetDeviceId,
    LoginInteraction,
    LoginOptions,
    OAuthCredential,
    OAuthProvider,
    SecretPrompt,
)
from pi_ai.errors import AbortError, AuthStorageError, ModelsError
from pi_ai.provider import ProviderSpec, load_oauth
from pi_ai.secrets import Secret
from pi_ai.types import Model, now_ms

__all__ = ("Credentials",)

_CANCELLED = "Login cancelled"
_NO_OPTIONS = LoginOptions()


class Credentials:
    """The credentials of one collection of models: `models.credentials`.

    Log in and out, set a key for this process, see what there is. Requests find theirs here.
    """

    def __init__(
        self,
        keys: RuntimeKeys,
        find_provider: Callable[[str], ProviderSpec | None],
        *,
        clock_ms: Callable[[], float] = now_ms,
    ) -> None:
        """For `Models`. `clock_ms` is the time in milliseconds since 1970."""
        self.get_device_id: GetDeviceId | None = None
        """What logins tell that need an id of the installation, unless their options say."""
        self._keys = keys
        self._find_provider = find_provider
        self._refresher = TokenRefresher(keys, clock_ms)
        self._known: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<Credentials {self._keys!r}>"

    # --- keys of this process -----------------------------------------------------------------

    def set_runtime_api_key(self, provider_id: str, key: str) -> None:
        """Use `key`, as it is, for a provider until the process ends; it is stored nowhere.

        It wins over stored credentials; "" takes it away.
        """
        self._keys.set(provider_id, key)

    def remove_runtime_api_key(self, provider_id: str) -> None:
        """Use what is stored again."""
        self._keys.remove(provider_id)

    def has_runtime_api_key(self, provider_id: str) -> bool:
        """Whether a key was set with `set_runtime_api_key`."""
        return self._keys.has(provider_id)

    # --- looking ------------------------------------------------------------------------------

    async def list(self, signal: AbortSignal | None = None) -> Sequence[CredentialInfo]:
        """Which providers have a credential, and of which type; no secrets, no command is run.

        Raises `ModelsError` for a store that cannot be read.
        """
        try:
            infos = await self._keys.list(signal)
        except (AuthStorageError, OSError) as error:
            raise ModelsError(f"Credential store read failed: {error}", code="auth") from error
        self._known = {info.provider_id: info.type for info in infos}
        return infos

    def known_type(self, provider_id: str) -> str | None:
        """The type of a provider's credential as of the last `list`, None without one."""
        if self._keys.has(provider_id):
            return "api_key"
        return self._known.get(provider_id)

    async def check(
        self, provider_id: str, env: Mapping[str, str] | None = None
    ) -> AuthCheck | None:
        """What kind of credential requests would use now, None if there is none.

        Tokens are not refreshed and no command is run, so a request can still fail. Raises
        `ModelsError` for a store that cannot be read.
        """
        await self.list()
        provider = self._find_provider(provider_id)
        query = self._query(provider_id, provider, env or {})
        for source in find_sources(query):
            match source.kind:
                case "stored" if query.stored_type == "oauth":
                    return AuthCheck("oauth", "OAuth")
                case "stored":
                    return AuthCheck("api_key", "stored credential")
                case "configured" if provider is not None and not is_unset(provider, env):
                    return AuthCheck("api_key", "configured API key")
                case "environment":
                    return AuthCheck("api_key", source.variable)
                case _:
                    pass
        return None

    async def status(self, provider_id: str) -> AuthStatus:
        """The strongest place with a credential for a provider, usable or not.

        Runs no command. Raises `ModelsError` for a store that cannot be read.
        """
        await self.list()
        provider = self._find_provider(provider_id)
        if self._keys.has(provider_id):
            return AuthStatus(True, "runtime")
        if provider_id in self._known:
            return AuthStatus(True, "stored")
        if provider is not None and provider.key is not None and not is_unset(provider, None):
            command = ConfigValue(provider.key).is_command
            return AuthStatus(True, "models_json_command" if command else "models_json_key")
        for source in find_sources(self._query(provider_id, provider, {})):
            if source.kind == "environment":
                return AuthStatus(True, "environment", source.variable)
        return AuthStatus(False)

    def _query(
        self, provider_id: str, provider: ProviderSpec | None, env: Mapping[str, str]
    ) -> AuthQuery:
        base_url = provider.base_url if provider is not None else ""
        return AuthQuery(
            provider=provider,
            model=Model(id="", api="", provider=provider_id, base_url=base_url),
            env=env,
            stored_type=self.known_type(provider_id),
        )

    # --- for requests -------------------------------------------------------------------------

    async def get(
        self,
        provider_id: str,
        *,
        env: Mapping[str, str] | None = None,
        min_validity_ms: float | None = None,
        signal: AbortSignal | None = None,
    ) -> ResolvedAuth | None:
        """What requests to a provider are sent with, tokens refreshed; None without credentials.

        `min_validity_ms` is how long tokens must be valid, for those that are handed on. Raises
        `ModelsError`.
        """
        query = self._query(provider_id, self._find_provider(provider_id), env or {})
        query, credential = await self._with_stored(query, signal)
        return await self._first(query, credential, min_validity_ms=min_validity_ms, signal=signal)

    async def resolve(self, query: AuthQuery, signal: AbortSignal | None = None) -> ResolvedAuth:
        """The credentials of a request; what is stored is looked up here.

        Raises `ModelsError`, also if there are none. `signal` ends waiting for a refresh, which
        then goes on by itself.
        """
        credential = None
        if query.api_key is None:
            query, credential = await self._with_stored(query, signal)
        auth = await self._first(query, credential, min_validity_ms=None, signal=signal)
        if auth is None:
            raise missing_auth(query)
        return auth

    async def _with_stored(
        self, query: AuthQuery, signal: AbortSignal | None
    ) -> tuple[AuthQuery, Credential | None]:
        provider_id = query.model.provider
        try:
            credential = await self._keys.read(provider_id, signal)
        except (AuthStorageError, OSError) as error:
            raise ModelsError(
                f"Credential store read failed for {provider_id}: {error}", code="auth"
            ) from error
        if credential is None:
            return replace(query, stored_type=None), None
        env = query.env
        if isinstance(credential, ApiKeyCredential):
            env = {**credential.env, **env}
        return replace(query, stored_type=credential.type, env=env), credential

    async def _first(
        self,
        query: AuthQuery,
        credential: Credential | None,
        *,
        min_validity_ms: float | None,
        signal: AbortSignal | None,
    ) -> ResolvedAuth | None:
        """The credentials of the strongest source that has some."""
        for source in find_sources(query):
            if source.kind != "stored":
                return await own_auth(query, source)
            match credential:
                case OAuthCredential():
                    assert query.provider is not None  # or it could not be used
                    return await self._tokens(
                        query.provider, credential, min_validity_ms=min_validity_ms, signal=signal
                    )
                case ApiKeyCredential(key=str() as key) if key:
                    auth = api_key_auth(query.model, key, "stored credential")
                    return replace(auth, env=credential.env)
                case _:
                    pass  # a key that cannot be resolved leaves its place to the others
        return None

    async def _tokens(
        self,
        provider: ProviderSpec,
        credential: OAuthCredential,
        *,
        min_validity_ms: float | None,
        signal: AbortSignal | None,
    ) -> ResolvedAuth | None:
        handler = load_oauth(provider)
        assert handler is not None
        fresh = await self._refresher.fresh(
            provider.id, handler, credential, min_validity_ms=min_validity_ms, signal=signal
        )
        if fresh is None:
            return None
        try:
            auth = await handler.to_auth(fresh)
        except Exception as error:
            raise ModelsError(
                f"OAuth auth derivation failed for {provider.id}: {error}", code="oauth"
            ) from error
        return ResolvedAuth(
            api_key=auth.api_key, headers=auth.headers, base_url=auth.base_url, source="OAuth"
        )

    # --- logging in and out -------------------------------------------------------------------

    async def login(
        self,
        provider_id: str,
        type: CredentialType,
        interaction: LoginInteraction,
        options: LoginOptions = _NO_OPTIONS,
    ) -> Credential:
        """Lead the user through a login, or ask for an API key, and store what comes of it.

        Raises `ModelsError` for a provider that has no such login or a store that fails,
        `AbortError` when it was cancelled, and what the provider's login or the interaction
        raises. Nothing is stored then.
        """
        if interaction.signal is not None and interaction.signal.aborted:
            raise AbortError(_CANCELLED)
        provider = self._find_provider(provider_id)
        if provider is None:
            raise ModelsError(f"Unknown provider: {provider_id}", code="provider")
        handler = load_oauth(provider) if type == "oauth" else None
        if isinstance(handler, OAuthProvider):
            await self.list()  # a broken store is told before the user logs in
            if options.get_device_id is None:
                options = replace(options, get_device_id=self.get_device_id)
            made: Credential = await handler.login(interaction, options)
        elif type == "api_key" and not is_oauth_only(provider):
            made = await _ask_for_key(provider, interaction)
        else:
            name = provider.name or provider.id
            raise ModelsError(f"{name} does not support {type} login", code="auth")

        async def store(_: Credential | None) -> Credential:
            return made

        try:
            await self._keys.modify(provider_id, store, interaction.signal)
        except AbortError:
            raise AbortError(_CANCELLED) from None
        except (AuthStorageError, OSError) as error:
            raise ModelsError(
                f"Credential store modify failed for {provider_id}: {error}", code="auth"
            ) from error
        self._known[provider_id] = made.type
        return made

    async def logout(self, provider_id: str) -> None:
        """Forget a provider's stored credential and the key of this process, if there are any.

        The provider is not told, and keys of the environment and of configuration stay. Raises
        `ModelsError` for a store that fails.
        """
        try:
            await self._keys.delete(provider_id)
        except (AuthStorageError, OSError) as error:
            raise ModelsError(
                f"Credential store delete failed for {provider_id}: {error}", code="auth"
            ) from error
        self._known.pop(provider_id, None)

    async def settled(self) -> None:
        """Wait until every refresh that has begun is stored, or has failed.

        Call it before the program ends: a server may have taken the old token back.
        """
        await self._refresher.settled()


async def _ask_for_key(provider: ProviderSpec, interaction: LoginInteraction) -> ApiKeyCredential:
    prompt = SecretPrompt(
        message=f"Enter {provider.name or provider.id} API key", signal=interaction.signal
    )
    key = Secret((await interaction.prompt(prompt)).strip())
    if not key:
        raise ModelsError(f"API key auth failed for provider {provider.id}: no key", code="auth")
    return ApiKeyCredential(key)
