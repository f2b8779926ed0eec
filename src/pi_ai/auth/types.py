"""Credentials, what becomes of them in a request, and what a login asks and tells.

Secrets are `Secret` strings, which no repr shows. How credentials are written to disk is in
`storage`, the logins are in `oauth`. Source: auth spec, sections 2 and 7.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

from msgspec import Struct, field
from msgspec.structs import force_setattr

from pi_ai.abort import AbortSignal
from pi_ai.secrets import Masked, Secret
from pi_ai.types import JsonObject

__all__ = (
    "ApiKeyCredential",
    "AuthCheck",
    "AuthStatus",
    "AuthUrlEvent",
    "Credential",
    "CredentialInfo",
    "CredentialType",
    "DeviceCodeEvent",
    "GetDeviceId",
    "InfoEvent",
    "InfoLink",
    "LoginEvent",
    "LoginInteraction",
    "LoginMethod",
    "LoginOptions",
    "LoginPrompt",
    "ManualCodePrompt",
    "ModelAuth",
    "OAuthCredential",
    "OAuthHandler",
    "OAuthProvider",
    "ProgressEvent",
    "SecretPrompt",
    "SelectOption",
    "SelectPrompt",
    "TextPrompt",
    "UnknownCredential",
)


# --- credentials ------------------------------------------------------------------------------

CredentialType: TypeAlias = Literal["api_key", "oauth"]


class ApiKeyCredential(Masked, frozen=True):
    """An API key.

    `key` is a config value: a literal, a template of `$VAR`s, or a `!command`. `env` holds
    variables that win over the process environment for this provider. `extra` are the fields that
    this version does not know, under the names they have on disk.
    """

    key: str | None = None
    env: Mapping[str, str] = {}
    extra: JsonObject = field(default_factory=dict[str, object])
    type: ClassVar[Literal["api_key"]] = "api_key"

    def __post_init__(self) -> None:
        if self.key is not None:
            _keep_secret(self, "key", self.key)
        env = {_text("env", name): Secret(_text("env", text)) for name, text in self.env.items()}
        force_setattr(self, "env", env)

    def __repr__(self) -> str:
        return f"<ApiKeyCredential with {'a' if self.key else 'no'} key>"


class OAuthCredential(Masked, frozen=True):
    """The tokens of a login.

    `access` is sent, `refresh` fetches the next pair ("" where there is none). `expires` is in
    milliseconds since 1970, often a few minutes early. `extra` holds what else belongs to the
    login, such as `accountId`, under the names it has on disk.
    """

    access: str
    refresh: str
    expires: float
    extra: JsonObject = field(default_factory=dict[str, object])
    type: ClassVar[Literal["oauth"]] = "oauth"

    def __post_init__(self) -> None:
        _keep_secret(self, "access", self.access)
        _keep_secret(self, "refresh", self.refresh)
        if not _is_number(self.expires) or not math.isfinite(self.expires):
            raise ValueError("expires: expected a finite number of milliseconds")

    def __repr__(self) -> str:
        return f"<OAuthCredential expires={self.expires:.0f}>"


class UnknownCredential(Masked, frozen=True):
    """A credential of a type that this version cannot use; it is kept as it is."""

    type: str
    extra: JsonObject = field(default_factory=dict[str, object])

    def __repr__(self) -> str:
        return "<UnknownCredential>"


Credential: TypeAlias = ApiKeyCredential | OAuthCredential | UnknownCredential


def _keep_secret(credential: Struct, name: str, value: object) -> None:
    force_setattr(credential, name, Secret(_text(name, value)))


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected a string, found {type(value).__name__}")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class CredentialInfo(Struct, frozen=True):
    """That a provider has a credential, and of which type. Never a secret.

    `type` is `api_key`, `oauth`, or what a newer version calls its own.
    """

    provider_id: str
    type: str


class AuthCheck(Struct, frozen=True):
    """Which kind of credential requests to a provider would use, and where it is from."""

    type: CredentialType
    source: str | None = None


class AuthStatus(Struct, frozen=True):
    """Whether a provider has credentials, and the strongest place they are in.

    `label` names the variable where `source` is `environment`.
    """

    configured: bool
    source: (
        Literal["runtime", "stored", "environment", "models_json_key", "models_json_command"] | None
    ) = None
    label: str | None = None


class ModelAuth(Masked, frozen=True, kw_only=True):
    """What a credential becomes in a request. A header of None is removed."""

    api_key: str | None = None
    headers: Mapping[str, str | None] = {}
    base_url: str | None = None

    def __repr__(self) -> str:  # key and headers are secrets
        kinds = [kind for kind in ("api_key", "headers", "base_url") if getattr(self, kind)]
        return f"<ModelAuth of {', '.join(kinds) or 'nothing'}>"


# --- what a login asks ------------------------------------------------------------------------


class TextPrompt(Struct, frozen=True, kw_only=True):
    """Ask for a line of text. `signal` withdraws this question, not the login."""

    message: str
    placeholder: str | None = None
    signal: AbortSignal | None = None
    type: ClassVar[Literal["text"]] = "text"


class SecretPrompt(Struct, frozen=True, kw_only=True):
    """Ask for a line of text that is not to be seen."""

    message: str
    placeholder: str | None = None
    signal: AbortSignal | None = None
    type: ClassVar[Literal["secret"]] = "secret"


class ManualCodePrompt(Struct, frozen=True, kw_only=True):
    """Ask for the code, or the address, that the browser ended at.

    Where a browser can bring the code by itself, `signal` withdraws the question when it has.
    """

    message: str
    placeholder: str | None = None
    signal: AbortSignal | None = None
    type: ClassVar[Literal["manual_code"]] = "manual_code"


class SelectOption(Struct, frozen=True):
    """One of the answers to a `SelectPrompt`; `id` is what is answered."""

    id: str
    label: str
    description: str | None = None


class SelectPrompt(Struct, frozen=True, kw_only=True):
    """Ask for one of several; the answer is the option's id."""

    message: str
    options: Sequence[SelectOption]
    signal: AbortSignal | None = None
    type: ClassVar[Literal["select"]] = "select"


LoginPrompt: TypeAlias = TextPrompt | SecretPrompt | ManualCodePrompt | SelectPrompt


# --- what a login tells -----------------------------------------------------------------------


class _Event(Struct, frozen=True, rename="camel", omit_defaults=True, tag_field="type"):
    """Encodes to upstream's JSON."""


class AuthUrlEvent(_Event, frozen=True, tag="auth_url"):
    """Open `url` in a browser."""

    url: str
    instructions: str | None = None
    type: ClassVar[Literal["auth_url"]] = "auth_url"


class DeviceCodeEvent(_Event, frozen=True, tag="device_code"):
    """Enter `user_code` at `verification_uri`, on any device.

    `open_browser_on_confirm` and `copy_code_on_confirm` are hints for a user interface.
    """

    user_code: str
    verification_uri: str
    interval_seconds: float | None = None
    expires_in_seconds: float | None = None
    open_browser_on_confirm: bool = True
    copy_code_on_confirm: bool = True
    type: ClassVar[Literal["device_code"]] = "device_code"


class ProgressEvent(_Event, frozen=True, tag="progress"):
    """What the login does now."""

    message: str
    type: ClassVar[Literal["progress"]] = "progress"


class InfoLink(Struct, frozen=True, rename="camel", omit_defaults=True):
    """An address to show with an `InfoEvent`."""

    url: str
    label: str | None = None


class InfoEvent(_Event, frozen=True, tag="info"):
    """Something to know."""

    message: str
    links: Sequence[InfoLink] = ()
    type: ClassVar[Literal["info"]] = "info"


LoginEvent: TypeAlias = AuthUrlEvent | DeviceCodeEvent | ProgressEvent | InfoEvent


class LoginInteraction(Protocol):
    """The host's side of a login: how questions reach the user."""

    @property
    def signal(self) -> AbortSignal | None:
        """Cancels the login when set; so does cancelling the task that waits for it."""
        ...

    async def prompt(self, prompt: LoginPrompt, /) -> str:
        """The user's answer. Raises when the user dismisses the question: that ends the login."""
        ...

    def notify(self, event: LoginEvent, /) -> None:
        """Show `event` to the user. Must not block."""
        ...


LoginMethod: TypeAlias = Literal["browser", "copy_code", "device_code"]
GetDeviceId: TypeAlias = Callable[[], str | Awaitable[str]]
"""Gives the stable UUID of the installation."""


class LoginOptions(Struct, frozen=True, kw_only=True):
    """What a login is told beforehand.

    `method` answers the question for one. `agent_name` is how the provider is told of the program.
    `get_device_id` is for logins that need it; without it `Credentials.get_device_id` is asked.
    """

    method: LoginMethod | None = None
    agent_name: str | None = None
    get_device_id: GetDeviceId | None = None


# --- who knows the tokens of a provider -------------------------------------------------------


class OAuthHandler(Protocol):
    """What requests need of a provider's OAuth: fresh tokens, and how they are sent."""

    @property
    def id(self) -> str:
        """The provider's id."""
        ...

    @property
    def name(self) -> str:
        """What users know the login by, such as `Anthropic (Claude Pro/Max)`."""
        ...

    @property
    def is_subscription(self) -> bool:
        """Whether requests are paid by a subscription. For display; costs are counted alike."""
        ...

    async def refresh(
        self, credential: OAuthCredential, signal: AbortSignal | None = None
    ) -> OAuthCredential:
        """The next tokens. Fields of `extra` that it does not set are kept by the caller.

        Raises `OAuthError`. Must neither store nor log anything.
        """
        ...

    async def to_auth(self, credential: OAuthCredential) -> ModelAuth:
        """How the tokens are sent. Must have no effects and not reach the network."""
        ...


@runtime_checkable
class OAuthProvider(OAuthHandler, Protocol):
    """A provider one can log in to."""

    @property
    def login_label(self) -> str | None:
        """What a button for the login says; None: `name` will do."""
        ...

    async def login(self, interaction: LoginInteraction, options: LoginOptions) -> OAuthCredential:
        """Lead the user through the login. Stores nothing.

        Raises `OAuthError`, `AbortError` when the login was cancelled, and what the interaction
        raises.
        """
        ...
