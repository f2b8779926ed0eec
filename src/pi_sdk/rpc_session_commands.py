"""RPC commands about the stored session: what is in it, and going on with another one.

Source: rpc spec, section 5.4.
"""

from __future__ import annotations

from msgspec import UNSET

from pi_sdk.errors import SdkError
from pi_sdk.rpc_call import Call, Handlers
from pi_sdk.rpc_entries import entry_json, tree_json
from pi_sdk.rpc_requests import (
    CloneCommand,
    Command,
    ForkCommand,
    GetCommandsCommand,
    GetEntriesCommand,
    GetForkMessagesCommand,
    GetSessionStatsCommand,
    GetTreeCommand,
    NewSessionCommand,
    SetSessionNameCommand,
    SwitchSessionCommand,
)

__all__ = ("REPLACING_COMMANDS", "SESSION_HANDLERS")

_REPLACED = {"cancelled": False}

REPLACING_COMMANDS: tuple[type[Command], ...] = (
    NewSessionCommand,
    SwitchSessionCommand,
    ForkCommand,
    CloneCommand,
)
"""Commands behind which another session is the current one."""


async def _new_session(call: Call, command: NewSessionCommand) -> object:
    await call.runtime.new_session(command.parent_session)
    return _REPLACED


async def _switch_session(call: Call, command: SwitchSessionCommand) -> object:
    if not command.session_path:
        raise SdkError("Invalid switch_session: sessionPath is empty")
    if "\0" in command.session_path:
        raise SdkError("Invalid switch_session: sessionPath has a NUL character in it")
    await call.runtime.switch_session(command.session_path)
    return _REPLACED


async def _fork(call: Call, command: ForkCommand) -> object:
    return {"text": await call.runtime.fork(command.entry_id), **_REPLACED}


async def _clone(call: Call, _command: CloneCommand) -> object:
    await call.runtime.clone()
    return _REPLACED


async def _get_fork_messages(call: Call, _command: GetForkMessagesCommand) -> object:
    return {"messages": call.session.get_user_messages_for_forking()}


async def _get_session_stats(call: Call, _command: GetSessionStatsCommand) -> object:
    return call.session.get_session_stats()


async def _get_entries(call: Call, command: GetEntriesCommand) -> object:
    session = call.session.session_manager
    entries = session.get_entries()
    if command.since is not None:
        ids = [entry.id for entry in entries]
        if command.since not in ids:
            raise SdkError(f"Entry not found: {command.since}")
        entries = entries[ids.index(command.since) + 1 :]
    return {"entries": [entry_json(entry) for entry in entries], "leafId": session.leaf_id}


async def _get_tree(call: Call, _command: GetTreeCommand) -> object:
    session = call.session.session_manager
    return {"tree": tree_json(session.get_tree()), "leafId": session.leaf_id}


async def _set_session_name(call: Call, command: SetSessionNameCommand) -> object:
    name = command.name.strip()
    if not name:
        raise SdkError("Session name cannot be empty")
    await call.session.set_session_name(name)
    return UNSET


async def _get_commands(_call: Call, _command: GetCommandsCommand) -> object:
    return {"commands": []}


SESSION_HANDLERS: Handlers = {
    NewSessionCommand: _new_session,
    SwitchSessionCommand: _switch_session,
    ForkCommand: _fork,
    CloneCommand: _clone,
    GetForkMessagesCommand: _get_fork_messages,
    GetSessionStatsCommand: _get_session_stats,
    GetEntriesCommand: _get_entries,
    GetTreeCommand: _get_tree,
    SetSessionNameCommand: _set_session_name,
    GetCommandsCommand: _get_commands,
}
