"""Log in to a subscription: `login.py anthropic`, `login.py openai-codex` or `login.py openai`.

A method may follow. Tokens go into ./auth.json. Without arguments it plays a whole login to you.
"""

import asyncio
import sys
from contextlib import suppress

from msgspec.structs import replace

from pi_ai import CallbackInteraction, FileCredentialStore, LoginOptions, Models, PiError
from pi_ai.testing import LoginServer
from pi_sdk import stored_device_id


async def read_line(question: str) -> str:
    """A line of standard input, on Unix; one that is not needed any more is not waited for."""
    print(question, flush=True)
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    with suppress(PermissionError):  # no terminal: the browser alone will do
        loop.add_reader(sys.stdin, ready.set)
    try:
        return await ready.wait() and sys.stdin.readline()
    finally:
        loop.remove_reader(sys.stdin)


TERMINAL = CallbackInteraction(
    on_auth=lambda event: print(f"{event.instructions}\n{event.url}"),
    on_device_code=lambda event: print(f"Enter {event.user_code} at {event.verification_uri}"),
    on_progress=print,
    on_prompt=lambda prompt: read_line(prompt.message),
    on_select=lambda prompt: prompt.options[0].id,
)


async def log_in(models: Models, host: CallbackInteraction, provider: str, *method: str) -> None:
    options = LoginOptions(method=next(iter(method), None), get_device_id=stored_device_id)
    try:
        await models.credentials.login(provider, "oauth", host, options)
    except PiError as error:
        sys.exit(str(error))
    print(f"{provider}: {await models.credentials.status(provider)}")


async def demonstrate() -> None:
    async with LoginServer() as server, asyncio.TaskGroup() as browser:
        row = replace(Models().get_provider("anthropic"), oauth=server.anthropic())
        visit = lambda event: browser.create_task(server.visit(event.url))  # noqa: E731
        await log_in(Models([row]), CallbackInteraction(on_auth=visit), "anthropic", "browser")


if __name__ == "__main__":
    models = Models(credentials=FileCredentialStore("auth.json"))
    try:
        asyncio.run(log_in(models, TERMINAL, *sys.argv[1:]) if len(sys.argv) > 1 else demonstrate())
    except KeyboardInterrupt:
        sys.exit("Login cancelled")
