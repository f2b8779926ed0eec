"""The commands of the RPC protocol as structs.

Source: rpc spec, section 5.
"""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

from msgspec import UNSET, Struct, UnsetType

from pi_agent.types import QueueMode
from pi_ai import ImageContent, JsonValue, ThinkingLevel

__all__ = (
    "AbortBashCommand",
    "AbortCommand",
    "AbortRetryCommand",
    "BashCommand",
    "ClearQueueCommand",
    "CloneCommand",
    "Command",
    "CompactCommand",
    "CycleModelCommand",
    "CycleThinkingLevelCommand",
    "FollowUpCommand",
    "ForkCommand",
    "GetAvailableModelsCommand",
    "GetAvailableThinkingLevelsCommand",
    "GetCommandsCommand",
    "GetEntriesCommand",
    "GetForkMessagesCommand",
    "GetLastAssistantTextCommand",
    "GetMessagesCommand",
    "GetSessionStatsCommand",
    "GetStateCommand",
    "GetTreeCommand",
    "NewSessionCommand",
    "PromptCommand",
    "SetAutoCompactionCommand",
    "SetAutoRetryCommand",
    "SetFollowUpModeCommand",
    "SetModelCommand",
    "SetSessionNameCommand",
    "SetSteeringModeCommand",
    "SetThinkingLevelCommand",
    "SteerCommand",
    "SwitchSessionCommand",
)


class _Command(Struct, rename="camel", tag_field="type"):
    """Base of every command; `id` is any JSON value and comes back with the response."""

    id: JsonValue | UnsetType = UNSET


# --- prompting --------------------------------------------------------------------------------


class PromptCommand(_Command, tag="prompt", kw_only=True):
    """Send a message; answered when it is accepted."""

    type: ClassVar[Literal["prompt"]] = "prompt"
    message: str
    images: list[ImageContent] | None = None
    streaming_behavior: Literal["steer", "followUp"] | None = None


class SteerCommand(_Command, tag="steer", kw_only=True):
    """Queue a message for the next turn."""

    type: ClassVar[Literal["steer"]] = "steer"
    message: str
    images: list[ImageContent] | None = None


class FollowUpCommand(_Command, tag="follow_up", kw_only=True):
    """Queue a message for the end of the run."""

    type: ClassVar[Literal["follow_up"]] = "follow_up"
    message: str
    images: list[ImageContent] | None = None


class AbortCommand(_Command, tag="abort"):
    """Stop the run; answered when the session is idle."""

    type: ClassVar[Literal["abort"]] = "abort"


class ClearQueueCommand(_Command, tag="clear_queue"):
    """Drop what is queued."""

    type: ClassVar[Literal["clear_queue"]] = "clear_queue"


# --- state, model, thinking, modes ------------------------------------------------------------


class GetStateCommand(_Command, tag="get_state"):
    """What the session is and does."""

    type: ClassVar[Literal["get_state"]] = "get_state"


class GetMessagesCommand(_Command, tag="get_messages"):
    """What the model sees of the session."""

    type: ClassVar[Literal["get_messages"]] = "get_messages"


class SetModelCommand(_Command, tag="set_model", kw_only=True):
    """Answer with another model, which must be available."""

    type: ClassVar[Literal["set_model"]] = "set_model"
    provider: str
    model_id: str


class CycleModelCommand(_Command, tag="cycle_model"):
    """Go on to the next model."""

    type: ClassVar[Literal["cycle_model"]] = "cycle_model"


class GetAvailableModelsCommand(_Command, tag="get_available_models"):
    """The models that there are credentials for."""

    type: ClassVar[Literal["get_available_models"]] = "get_available_models"


class SetThinkingLevelCommand(_Command, tag="set_thinking_level", kw_only=True):
    """Think at a level, or at the nearest that the model has."""

    type: ClassVar[Literal["set_thinking_level"]] = "set_thinking_level"
    level: ThinkingLevel


class CycleThinkingLevelCommand(_Command, tag="cycle_thinking_level"):
    """Go on to the next level."""

    type: ClassVar[Literal["cycle_thinking_level"]] = "cycle_thinking_level"


class GetAvailableThinkingLevelsCommand(_Command, tag="get_available_thinking_levels"):
    """The levels that the model has."""

    type: ClassVar[Literal["get_available_thinking_levels"]] = "get_available_thinking_levels"


class SetSteeringModeCommand(_Command, tag="set_steering_mode", kw_only=True):
    """How many steering messages a turn takes; a setting of the user."""

    type: ClassVar[Literal["set_steering_mode"]] = "set_steering_mode"
    mode: QueueMode


class SetFollowUpModeCommand(_Command, tag="set_follow_up_mode", kw_only=True):
    """How many follow-ups are taken at once; a setting of the user."""

    type: ClassVar[Literal["set_follow_up_mode"]] = "set_follow_up_mode"
    mode: QueueMode


class SetAutoCompactionCommand(_Command, tag="set_auto_compaction", kw_only=True):
    """Compact without being asked, or not; a setting of the user."""

    type: ClassVar[Literal["set_auto_compaction"]] = "set_auto_compaction"
    enabled: bool


class SetAutoRetryCommand(_Command, tag="set_auto_retry", kw_only=True):
    """Repeat failed requests, or not; a setting of the user."""

    type: ClassVar[Literal["set_auto_retry"]] = "set_auto_retry"
    enabled: bool


class AbortRetryCommand(_Command, tag="abort_retry"):
    """Give up the repetition that waits for its time."""

    type: ClassVar[Literal["abort_retry"]] = "abort_retry"


# --- compaction and bash ----------------------------------------------------------------------


class CompactCommand(_Command, tag="compact", kw_only=True):
    """Stop the run and put a summary in the place of older messages."""

    type: ClassVar[Literal["compact"]] = "compact"
    custom_instructions: str | None = None


class BashCommand(_Command, tag="bash", kw_only=True):
    """Run a shell command, which the next request tells the model of; answered at its end."""

    type: ClassVar[Literal["bash"]] = "bash"
    command: str
    exclude_from_context: bool | None = None


class AbortBashCommand(_Command, tag="abort_bash"):
    """Stop every shell command that `bash` runs."""

    type: ClassVar[Literal["abort_bash"]] = "abort_bash"


# --- session ----------------------------------------------------------------------------------


class NewSessionCommand(_Command, tag="new_session", kw_only=True):
    """Start an empty session."""

    type: ClassVar[Literal["new_session"]] = "new_session"
    parent_session: str | None = None


class SwitchSessionCommand(_Command, tag="switch_session", kw_only=True):
    """Go on with the session in a file, which may be new."""

    type: ClassVar[Literal["switch_session"]] = "switch_session"
    session_path: str


class ForkCommand(_Command, tag="fork", kw_only=True):
    """Go on in a copy of what stands before a message of the user."""

    type: ClassVar[Literal["fork"]] = "fork"
    entry_id: str


class CloneCommand(_Command, tag="clone"):
    """Go on in a copy of the current branch."""

    type: ClassVar[Literal["clone"]] = "clone"


class GetForkMessagesCommand(_Command, tag="get_fork_messages"):
    """The messages of the user, of all branches."""

    type: ClassVar[Literal["get_fork_messages"]] = "get_fork_messages"


class GetEntriesCommand(_Command, tag="get_entries", kw_only=True):
    """The entries of all branches as they are stored, or those behind `since`."""

    type: ClassVar[Literal["get_entries"]] = "get_entries"
    since: str | None = None


class GetTreeCommand(_Command, tag="get_tree"):
    """The entries as a tree."""

    type: ClassVar[Literal["get_tree"]] = "get_tree"


class GetSessionStatsCommand(_Command, tag="get_session_stats"):
    """Counts, tokens and cost over all branches."""

    type: ClassVar[Literal["get_session_stats"]] = "get_session_stats"


class GetLastAssistantTextCommand(_Command, tag="get_last_assistant_text"):
    """The text of the last answer."""

    type: ClassVar[Literal["get_last_assistant_text"]] = "get_last_assistant_text"


class SetSessionNameCommand(_Command, tag="set_session_name", kw_only=True):
    """Name the session."""

    type: ClassVar[Literal["set_session_name"]] = "set_session_name"
    name: str


class GetCommandsCommand(_Command, tag="get_commands"):
    """The slash commands there are: none, as texts are sent to the model as they are."""

    type: ClassVar[Literal["get_commands"]] = "get_commands"


Command: TypeAlias = (
    PromptCommand
    | SteerCommand
    | FollowUpCommand
    | AbortCommand
    | ClearQueueCommand
    | GetStateCommand
    | GetMessagesCommand
    | SetModelCommand
    | CycleModelCommand
    | GetAvailableModelsCommand
    | SetThinkingLevelCommand
    | CycleThinkingLevelCommand
    | GetAvailableThinkingLevelsCommand
    | SetSteeringModeCommand
    | SetFollowUpModeCommand
    | SetAutoCompactionCommand
    | SetAutoRetryCommand
    | AbortRetryCommand
    | CompactCommand
    | BashCommand
    | AbortBashCommand
    | NewSessionCommand
    | SwitchSessionCommand
    | ForkCommand
    | CloneCommand
    | GetForkMessagesCommand
    | GetEntriesCommand
    | GetTreeCommand
    | GetSessionStatsCommand
    | GetLastAssistantTextCommand
    | SetSessionNameCommand
    | GetCommandsCommand
)
