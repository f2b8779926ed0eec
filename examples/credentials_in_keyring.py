"""Keys and logins in the system's keyring instead of a file: a `CredentialStore` of one's own.

With `pip install keyring`, pass that module as the backend. Here a dict stands in for it.
"""

import asyncio
import tempfile
from pathlib import Path
from types import SimpleNamespace

from pi_ai import ApiKeyCredential, CredentialInfo, Models
from pi_ai.auth.entries import decode_credential, encode_credential
from pi_ai.dirlock import directory_lock

SERVICE, PROVIDERS = "my-agents", ("anthropic", "groq", "openai", "openai-codex")


class KeyringStore:
    def __init__(self, backend, lock_file: Path) -> None:
        self.backend, self.lock_file = backend, lock_file  # the lock: one refresh at a time

    async def read(self, provider_id: str, signal=None):
        text = await asyncio.to_thread(self.backend.get_password, SERVICE, provider_id)
        return decode_credential(provider_id, text.encode() if text else None)

    async def list(self, signal=None):
        found = [(name, await self.read(name)) for name in PROVIDERS]
        return [CredentialInfo(name, each.type) for name, each in found if each]

    async def modify(self, provider_id: str, change, signal=None):
        async with directory_lock(self.lock_file):
            changed = await change(await self.read(provider_id))
            if changed is not None:
                text = encode_credential(changed)
                self.backend.set_password(SERVICE, provider_id, text.decode())
            return await self.read(provider_id)

    async def delete(self, provider_id: str, signal=None) -> None:
        if await self.read(provider_id):
            self.backend.delete_password(SERVICE, provider_id)


async def main() -> None:
    kept: dict[str, str] = {}
    backend = SimpleNamespace(
        get_password=lambda service, name: kept.get(name),
        set_password=lambda service, name, text: kept.update({name: text}),
    )

    async def typed(_):
        return ApiKeyCredential("gsk-typed-by-the-user")

    with tempfile.TemporaryDirectory() as directory:
        store = KeyringStore(backend, Path(directory) / "keyring")
        await store.modify("groq", typed)
        print("used:", await Models(credentials=store).credentials.get("groq"))


asyncio.run(main())
