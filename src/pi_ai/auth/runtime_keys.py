"""Keys that are set while the process runs, before those of a store. Source: auth spec, 5.3."""

from __future__ import annotations

from collections.abc import Sequence

from pi_ai.abort import AbortSignal
from pi_ai.auth.storage import Change, CredentialStore
from pi_ai.auth.types import ApiKeyCredential, Credential, CredentialInfo
from pi_ai.secrets import Secret

__all__ = ("RuntimeKeys",)


class RuntimeKeys:
    """A store with keys of this process in front of it, which are never written anywhere."""

    def __init__(self, store: CredentialStore) -> None:
        self.store = store
        """Where everything else is."""
        self._keys: dict[str, Secret] = {}

    def __repr__(self) -> str:
        return f"<RuntimeKeys of {len(self._keys)} providers before {self.store!r}>"

    def set(self, provider_id: str, key: str) -> None:
        """Use `key`, as it is, for a provider; "" takes it away."""
        if key:
            self._keys[provider_id] = Secret(key)
        else:
            self.remove(provider_id)

    def remove(self, provider_id: str) -> None:
        """Use what is stored again."""
        self._keys.pop(provider_id, None)

    def has(self, provider_id: str) -> bool:
        """Whether a provider has a key of this process."""
        return provider_id in self._keys

    # --- CredentialStore ----------------------------------------------------------------------

    async def read(self, provider_id: str, signal: AbortSignal | None = None) -> Credential | None:
        """See `CredentialStore.read`."""
        key = self._keys.get(provider_id)
        if key is not None:
            return ApiKeyCredential(key)
        return await self.store.read(provider_id, signal)

    async def list(self, signal: AbortSignal | None = None) -> Sequence[CredentialInfo]:
        """See `CredentialStore.list`."""
        found = {info.provider_id: info for info in await self.store.list(signal)}
        found |= {name: CredentialInfo(name, "api_key") for name in self._keys}
        return [*found.values()]

    async def modify(
        self, provider_id: str, change: Change, signal: AbortSignal | None = None
    ) -> Credential | None:
        """See `CredentialStore.modify`: what is stored changes, the key of this process stays."""
        return await self.store.modify(provider_id, change, signal)

    async def delete(self, provider_id: str, signal: AbortSignal | None = None) -> None:
        """See `CredentialStore.delete`: both the stored credential and the key of this process."""
        await self.store.delete(provider_id, signal)
        self.remove(provider_id)
