"""The commands of the RPC protocol as typed methods.

Source: rpc spec, section 5.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar, cast, overload

from msgspec import Raw

from pi_agent.types import QueueMode
from pi_ai import ImageContent, JsonObject, JsonValue, Model, ThinkingLevel, Wire
from pi_ai.wire import decode, from_json_value, to_json_value
from pi_sdk.deep_json import parse_deep_json
from pi_sdk.errors import RpcError
from pi_sdk.rpc_events import Response
from pi_sdk.rpc_results import (
    ClearedQueue,
    Disposition,
    ForkResult,
    ReplaceResult,
    RpcSessionEntries,
    RpcSessionState,
    RpcSessionTree,
    SlashCommand,
)
from pi_sdk.session_controls import ModelCycle
from pi_sdk.session_state import ForkPoint
from pi_sdk.session_totals import SessionTotals
from pi_session import CompactionResult, SessionMessage, TreeNode
from pi_session.codec import entries_from_objects, parse_lines
from pi_tools.user_bash import UserBashResult

__all__ = ("RpcCommands",)

T = TypeVar("T")

_UNTIMED = frozenset({"prompt", "abort", "compact", "bash"})
"""Commands whose answer may take as long as a model or a shell command does."""


class RpcCommands(ABC):
    """Every command of the protocol. A subclass brings the connection.

    Each raises `RpcError` if the server refuses it, `RpcTimeoutError` if there is no answer within
    the request timeout, and `RpcProcessError` if the server ends meanwhile. `prompt`, `abort`,
    `compact` and `bash` have no time limit. A call that is cancelled stays sent.
    """

    @abstractmethod
    async def _request(
        self,
        command: str,
        fields: JsonObject,
        *,
        timed: bool,
        on_output: Callable[[str], object] | None = None,
    ) -> Response: ...

    # --- prompting ----------------------------------------------------------------------------

    async def prompt(
        self,
        message: str,
        images: Sequence[ImageContent] = (),
        *,
        streaming_behavior: Literal["steer", "followUp"] | None = None,
    ) -> Disposition:
        """Send a message; returns when it is accepted, not when it is answered.

        While a run goes on it is refused, or queued as `streaming_behavior` says.
        """
        told = await self._ask(
            _Accepted,
            "prompt",
            message=message,
            images=_images(images),
            streaming_behavior=streaming_behavior,
        )
        return told.disposition

    async def steer(self, message: str, images: Sequence[ImageContent] = ()) -> Disposition:
        """Queue a message for the next turn, of this run or the next one."""
        told = await self._ask(_Accepted, "steer", message=message, images=_images(images))
        return told.disposition

    async def follow_up(self, message: str, images: Sequence[ImageContent] = ()) -> Disposition:
        """Queue a message for the end of the run."""
        told = await self._ask(_Accepted, "follow_up", message=message, images=_images(images))
        return told.disposition

    async def abort(self) -> None:
        """Stop the run; returns when the session is idle. What is queued stays queued."""
        await self._tell("abort")

    async def clear_queue(self) -> ClearedQueue:
        """Drop what is queued, and get it back."""
        return await self._ask(ClearedQueue, "clear_queue")

    # --- state, model, thinking, modes --------------------------------------------------------

    async def get_state(self) -> RpcSessionState:
        """What the session is and does."""
        return await self._ask(RpcSessionState, "get_state")

    async def get_messages(self) -> list[SessionMessage]:
        """What the model sees of the session, messages of the system included."""
        return (await self._ask(_Messages, "get_messages")).messages

    async def set_model(self, provider: str, model_id: str) -> Model:
        """Let another model answer from now on; gives it."""
        return await self._ask(Model, "set_model", provider=provider, model_id=model_id)

    async def cycle_model(self) -> ModelCycle | None:
        """Go on to the next model; None if there is no other."""
        return await self._ask(ModelCycle | None, "cycle_model")

    async def get_available_models(self) -> list[Model]:
        """The models that there are credentials for."""
        return (await self._ask(_Models, "get_available_models")).models

    async def set_thinking_level(self, level: ThinkingLevel) -> None:
        """Think at this level, or at the nearest that the model has."""
        await self._tell("set_thinking_level", level=level)

    async def cycle_thinking_level(self) -> ThinkingLevel | None:
        """Go on to the next level; None if the model has none."""
        told = await self._ask(_Level | None, "cycle_thinking_level")
        return None if told is None else cast("_Level", told).level

    async def get_available_thinking_levels(self) -> list[ThinkingLevel]:
        """The levels that the model has."""
        return (await self._ask(_Levels, "get_available_thinking_levels")).levels

    async def set_steering_mode(self, mode: QueueMode) -> None:
        """How many steering messages a turn takes. The server stores it in the user's settings."""
        await self._tell("set_steering_mode", mode=mode)

    async def set_follow_up_mode(self, mode: QueueMode) -> None:
        """How many follow-ups are taken at once. The server stores it in the user's settings."""
        await self._tell("set_follow_up_mode", mode=mode)

    async def set_auto_compaction(self, enabled: bool) -> None:
        """Compact by itself, or not. The server stores it in the user's settings."""
        await self._tell("set_auto_compaction", enabled=enabled)

    async def set_auto_retry(self, enabled: bool) -> None:
        """Repeat failed requests, or not. The server stores it in the user's settings."""
        await self._tell("set_auto_retry", enabled=enabled)

    async def abort_retry(self) -> None:
        """Give up the repetition that waits for its time."""
        await self._tell("abort_retry")

    # --- compaction and bash ------------------------------------------------------------------

    async def compact(self, custom_instructions: str | None = None) -> CompactionResult:
        """Stop the run and put a summary in the place of the older messages."""
        return await self._ask(CompactionResult, "compact", custom_instructions=custom_instructions)

    async def bash(
        self,
        command: str,
        *,
        exclude_from_context: bool = False,
        on_output: Callable[[str], object] | None = None,
    ) -> UserBashResult:
        """Run a shell command in the session's directory; the next request tells the model of it.

        `exclude_from_context`: the model is not told. `on_output` is called with each piece of
        output, all of it even if the result is cut.
        """
        fields: JsonObject = {"command": command}
        if exclude_from_context:
            fields["exclude_from_context"] = True
        response = await self._send("bash", fields, on_output=on_output)
        return _read(response, UserBashResult, "bash")

    async def abort_bash(self) -> None:
        """Stop every shell command that `bash` runs."""
        await self._tell("abort_bash")

    # --- session ------------------------------------------------------------------------------

    async def new_session(self, parent_session: str | None = None) -> ReplaceResult:
        """Start an empty session. A run is aborted, the queue is lost; no event tells of it."""
        return await self._ask(ReplaceResult, "new_session", parent_session=parent_session)

    async def switch_session(self, session_path: str) -> ReplaceResult:
        """Go on with the session in a file, which may be new; see `new_session`."""
        return await self._ask(ReplaceResult, "switch_session", session_path=session_path)

    async def fork(self, entry_id: str) -> ForkResult:
        """Go on in a copy of what stands before a user message; see `new_session`."""
        return await self._ask(ForkResult, "fork", entry_id=entry_id)

    async def clone(self) -> ReplaceResult:
        """Go on in a copy of the current branch; see `new_session`."""
        return await self._ask(ReplaceResult, "clone")

    async def get_fork_messages(self) -> list[ForkPoint]:
        """The user messages of all branches, for `fork`."""
        return (await self._ask(_ForkMessages, "get_fork_messages")).messages

    async def get_entries(self, since: str | None = None) -> RpcSessionEntries:
        """The entries of all branches in the order of their append, or those after `since`."""
        told = await self._ask(_Entries, "get_entries", since=since)
        lines = (bytes(entry) + b"\n" for entry in told.entries)
        return RpcSessionEntries(entries=parse_lines(lines).entries, leaf_id=told.leaf_id)

    async def get_tree(self) -> RpcSessionTree:
        """The session as a tree."""
        response = await self._send("get_tree", {})
        try:
            data = response.nested or parse_deep_json(bytes(response.data).decode())
            told = from_json_value(data, _Tree)
            return RpcSessionTree(tree=_grow(told.tree), leaf_id=told.leaf_id)
        except ValueError as error:
            raise _unreadable("get_tree", error) from error

    async def get_session_stats(self) -> SessionTotals:
        """Counts, tokens and cost over all branches."""
        return await self._ask(SessionTotals, "get_session_stats")

    async def get_last_assistant_text(self) -> str | None:
        """The text of the last answer, None if there is none."""
        return (await self._ask(_Text, "get_last_assistant_text")).text

    async def set_session_name(self, name: str) -> None:
        """Name the session."""
        await self._tell("set_session_name", name=name)

    async def export_html(self, output_path: str | None = None) -> str:
        """Write the session as a page, where upstream serves; gives its path."""
        return (await self._ask(_Path, "export_html", output_path=output_path)).path

    async def get_commands(self) -> list[SlashCommand]:
        """The slash commands there are."""
        return (await self._ask(_Commands, "get_commands")).commands

    # --- sending ------------------------------------------------------------------------------

    @overload
    async def _ask(self, kind: type[T], command: str, **fields: JsonValue) -> T: ...
    @overload
    async def _ask(self, kind: Any, command: str, **fields: JsonValue) -> Any: ...
    async def _ask(self, kind: Any, command: str, **fields: JsonValue) -> Any:
        """The result of a command; fields that are None are left out."""
        return _read(await self._send(command, fields), kind, command)

    async def _tell(self, command: str, **fields: JsonValue) -> None:
        await self._send(command, fields)

    async def _send(
        self,
        command: str,
        fields: JsonObject,
        *,
        on_output: Callable[[str], object] | None = None,
    ) -> Response:
        told = {_camel(name): value for name, value in fields.items() if value is not None}
        return await self._request(
            command, told, timed=command not in _UNTIMED, on_output=on_output
        )


# --- what the answers look like on the wire -------------------------------------------------------


class _Accepted(Wire):
    disposition: Disposition


class _Messages(Wire):
    messages: list[SessionMessage]


class _Models(Wire):
    models: list[Model]


class _Level(Wire):
    level: ThinkingLevel


class _Levels(Wire):
    levels: list[ThinkingLevel]


class _ForkMessages(Wire):
    messages: list[ForkPoint]


class _Entries(Wire):
    entries: list[Raw]
    leaf_id: str | None


class _Tree(Wire):
    tree: list[JsonValue]
    leaf_id: str | None


class _Node(Wire):
    entry: JsonObject
    children: list[JsonValue]
    label: str | None = None
    label_timestamp: str | None = None


class _Text(Wire):
    text: str | None = None


class _Path(Wire):
    path: str


class _Commands(Wire):
    commands: list[SlashCommand]


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)


def _images(images: Sequence[ImageContent]) -> JsonValue:
    return to_json_value(list(images)) if images else None


def _read(response: Response, kind: Any, command: str) -> Any:
    """The result in a response. Raises `RpcError` if it is missing or of another shape."""
    try:
        return decode(bytes(response.data) or b"null", kind)
    except (ValueError, RecursionError) as error:
        raise _unreadable(command, error) from error


def _unreadable(command: str, error: Exception) -> RpcError:
    return RpcError(command, f"The server's answer cannot be read: {error}")


def _grow(roots: list[JsonValue]) -> list[TreeNode]:
    """Nodes from their JSON, without a call for each level. Raises ValueError."""
    tree: list[TreeNode] = []
    todo: list[tuple[list[JsonValue], list[TreeNode]]] = [(roots, tree)]
    while todo:
        children, siblings = todo.pop()
        for child in children:
            told = from_json_value(child, _Node)
            [entry] = entries_from_objects([told.entry])
            node = TreeNode(entry, [], told.label, told.label_timestamp)
            siblings.append(node)
            todo.append((told.children, node.children))
    return tree
