"""The settings as they take effect: every key that matters without a user interface, typed.

Names are those of settings.json in snake_case. Source: sdk spec, section 4.2.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from pi_agent.types import QueueMode
from pi_ai import Model, ThinkingLevel
from pi_session import CompactionSettings

__all__ = (
    "BranchSummarySettings",
    "CompactionOverride",
    "CompactionSettingsByModel",
    "ImageSettings",
    "ProviderRetrySettings",
    "RetrySettings",
    "Settings",
    "ThinkingBudgetSettings",
)

Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Milliseconds: TypeAlias = Annotated[float, Meta(ge=0)]


class _Group(Struct, frozen=True, kw_only=True, rename="camel"):
    """An object of the file."""


class CompactionOverride(_Group, frozen=True):
    """What one model wants otherwise; None is as for all."""

    reserve_tokens: Count | None = None
    keep_recent_tokens: Count | None = None


class CompactionSettingsByModel(_Group, frozen=True):
    """How sessions are compacted, in tokens. `model_overrides` is by `provider/id`."""

    enabled: bool = True
    reserve_tokens: Count = 16_384
    keep_recent_tokens: Count = 20_000
    model_overrides: dict[str, CompactionOverride] = msgspec.field(
        default_factory=dict[str, CompactionOverride]
    )

    def for_model(self, model: Model) -> CompactionSettings:
        """Those of one model: each number is its override, else the ordinary one."""
        return self.common(self.model_overrides.get(f"{model.provider}/{model.id}"))

    def common(self, own: CompactionOverride | None = None) -> CompactionSettings:
        """Those of every model that has none of its own, or `own` in front of them."""
        own = own or CompactionOverride()
        reserve, keep = own.reserve_tokens, own.keep_recent_tokens
        return CompactionSettings(
            enabled=self.enabled,
            reserve_tokens=self.reserve_tokens if reserve is None else reserve,
            keep_recent_tokens=self.keep_recent_tokens if keep is None else keep,
        )


class BranchSummarySettings(_Group, frozen=True):
    """Summaries of branches that are left."""

    reserve_tokens: Count = 16_384


class ProviderRetrySettings(_Group, frozen=True):
    """One request: its limit, and attempts before a response is accepted. None is the default."""

    timeout_ms: Milliseconds | None = None
    max_retries: Count | None = None
    max_retry_delay_ms: Milliseconds = 60_000


class RetrySettings(_Group, frozen=True):
    """Asking again after an answer failed; `provider` is about the requests themselves."""

    enabled: bool = True
    max_retries: Count = 3
    base_delay_ms: Milliseconds = 2000
    max_agent_delay_ms: Milliseconds = 60_000
    provider: ProviderRetrySettings = ProviderRetrySettings()


class ImageSettings(_Group, frozen=True):
    """Images in prompts and tool results."""

    auto_resize: bool = True
    block_images: bool = False


class ThinkingBudgetSettings(_Group, frozen=True):
    """Thinking tokens per level, for models that think by budget; None is the provider's."""

    minimal: Count | None = None
    low: Count | None = None
    medium: Count | None = None
    high: Count | None = None


class Settings(_Group, frozen=True):
    """What settings.json, the project's and the overrides say together.

    `default_thinking_level` None counts as medium. Of the timeouts 0 is no limit, and None the
    provider's own. `model_thinking_levels` is by `provider/id`.
    """

    default_provider: str | None = None
    default_model: str | None = None
    default_thinking_level: ThinkingLevel | None = None
    model_thinking_levels: dict[str, ThinkingLevel] = msgspec.field(
        default_factory=dict[str, ThinkingLevel]
    )
    thinking_budgets: ThinkingBudgetSettings = ThinkingBudgetSettings()
    enabled_models: list[str] = msgspec.field(default_factory=list[str])
    transport: Literal["auto", "sse", "websocket", "websocket-cached"] = "auto"
    steering_mode: QueueMode = "one-at-a-time"
    follow_up_mode: QueueMode = "one-at-a-time"
    compaction: CompactionSettingsByModel = CompactionSettingsByModel()
    branch_summary: BranchSummarySettings = BranchSummarySettings()
    retry: RetrySettings = RetrySettings()
    http_idle_timeout_ms: Milliseconds = 300_000
    websocket_connect_timeout_ms: Milliseconds | None = None
    http_proxy: str | None = None
    shell_path: str | None = None
    shell_command_prefix: str | None = None
    default_tools: list[str] | None = None
    images: ImageSettings = ImageSettings()
    session_dir: str | None = None
    default_project_trust: Literal["ask", "always", "never"] = "ask"
    enable_install_telemetry: bool = False
    cache_warming: Literal["off", "streaming", "idle"] = "off"

    def thinking_level_for(self, model: Model) -> ThinkingLevel | None:
        """The level to use `model` with, None if the settings name none."""
        own = self.model_thinking_levels.get(f"{model.provider}/{model.id}")
        return own or self.default_thinking_level
