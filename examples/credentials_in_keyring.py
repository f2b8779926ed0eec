"""Keys and logins in the system's keyring instead of a file: a `CredentialStore` of one's own.

`pip install keyring` and pass that module as the backend. Here a dict stands in for it.
"""

import asyncio
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace

from pi_ai import CredentialInfo, Models, abort_scope
from pi_ai.auth.entries import decode_credential, encode_credential
from pi_ai.auth.storage import resolve_key
from pi_ai.dirlock import directory_lock

SERVICE, PROVIDERS = "my-agents", ("anthropic", "groq", "openai", "openai-codex")


class KeyringStore:
    def __init__(self, backend, lock_file: Path) -> None:
        self.backend, self.lock_file = backend, lock_file

    async def read(self, provider_id: str, signal=None):
        return await resolve_key(self._stored(provider_id))

    async def list(self, signal=None):
        found = [(name, self._stored(name)) for name in PROVIDERS]
        return [CredentialInfo(name, each.type) for name, each in found if each]

    async def modify(self, provider_id: str, change, signal=None):
        async with AsyncExitStack() as held:  # one change at a time, by any process
            with abort_scope(signal):  # ends the waiting, not a change that has begun
                await held.enter_async_context(directory_lock(self.lock_file))
            if changed := await change(self._stored(provider_id)):
                text = encode_credential(changed).decode()
                self.backend.set_password(SERVICE, provider_id, text)
            return self._stored(provider_id)

    async def delete(self, provider_id: str, signal=None) -> None:
        async def forget(credential) -> None:
            if credential:
                self.backend.delete_password(SERVICE, provider_id)

        await self.modify(provider_id, forget, signal)

    def _stored(self, provider_id: str):
        text = self.backend.get_password(SERVICE, provider_id)
        return decode_credential(provider_id, text.encode() if text else None)


if __name__ == "__main__":
    kept = {"groq": '{"type":"api_key","key":"$GROQ_KEY","env":{"GROQ_KEY":"gsk-typed"}}'}
    stand_in = SimpleNamespace(get_password=lambda _service, name: kept.get(name))
    with tempfile.TemporaryDirectory() as directory:
        store = KeyringStore(stand_in, Path(directory) / "keyring")
        print("used:", asyncio.run(Models(credentials=store).credentials.get("groq")))
