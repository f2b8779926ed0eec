"""What a session is told to do by itself, as typed values; what files say is in `settings`.

Source: sdk spec, section 4.2.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from pi_agent.types import QueueMode
from pi_ai import Model, ThinkingLevel
from pi_ai.retry import RetryPolicy
from pi_session import CompactionSettings
from pi_session.compaction_settings import BRANCH_SUMMARY_RESERVE_TOKENS

__all__ = ("ScopedModel", "SessionSettings")


class ScopedModel(Struct, frozen=True):
    """A model that cycling stops at, and the level it starts with."""

    model: Model
    thinking_level: ThinkingLevel | None = None


class SessionSettings(Struct, frozen=True, kw_only=True):
    """How a session behaves where nobody says otherwise.

    `retry` is about answers that fail for a reason that may pass. `compaction_overrides` are the
    settings for single models, by `provider/id`. `model_thinking_levels`, by the same names, and
    `default_thinking_level` are what a model that is chosen starts with. `auto_resize_images`
    makes images of messages fit the model; `block_images` sends none. `shell_path` and
    `shell_command_prefix` are for commands of the user.
    """

    retry: RetryPolicy = RetryPolicy(max_retries=3, base_delay_ms=2000, max_agent_delay_ms=60_000)
    compaction: CompactionSettings = CompactionSettings()
    compaction_overrides: Mapping[str, CompactionSettings] = field(
        default_factory=dict[str, CompactionSettings]
    )
    branch_summary_reserve_tokens: int = BRANCH_SUMMARY_RESERVE_TOKENS
    steering_mode: QueueMode = "one-at-a-time"
    follow_up_mode: QueueMode = "one-at-a-time"
    default_thinking_level: ThinkingLevel | None = None
    model_thinking_levels: Mapping[str, ThinkingLevel] = field(
        default_factory=dict[str, ThinkingLevel]
    )
    auto_resize_images: bool = True
    block_images: bool = False
    shell_path: str | None = None
    shell_command_prefix: str | None = None

    def compaction_for(self, model: Model) -> CompactionSettings:
        """The compaction settings for `model`; only `compaction` says whether it is enabled."""
        found = self.compaction_overrides.get(f"{model.provider}/{model.id}", self.compaction)
        return replace(found, enabled=self.compaction.enabled)

    def start_level(self, model: Model) -> ThinkingLevel | None:
        """The level that the user wants `model` to start with; None if none was named."""
        named = self.model_thinking_levels.get(f"{model.provider}/{model.id}")
        return named or self.default_thinking_level
