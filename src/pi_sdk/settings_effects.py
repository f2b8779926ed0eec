"""What settings do to requests, tools, sessions, places; what the host asks for in code is first.

Source: sdk spec, sections 4.2 and 13.
"""

from __future__ import annotations

from pathlib import Path

from pi_ai import StreamOptions
from pi_ai.retry import RetryPolicy
from pi_ai.types import ThinkingBudgets
from pi_sdk.session_settings import SessionSettings
from pi_sdk.settings_types import Settings, ThinkingBudgetSettings
from pi_session.locations import expand_path
from pi_tools import BashToolOptions, ReadToolOptions, ToolOptions

__all__ = ("request_options", "session_directory", "session_settings", "tool_options")


def request_options(settings: Settings, given: StreamOptions | None) -> StreamOptions:
    """The options of every request."""
    provider = settings.retry.provider
    options: StreamOptions = {
        "idle_timeout_ms": settings.http_idle_timeout_ms,
        "max_retry_delay_ms": provider.max_retry_delay_ms,
    }
    if provider.timeout_ms is not None:
        options["timeout_ms"] = provider.timeout_ms
    if provider.max_retries is not None:
        options["max_retries"] = provider.max_retries
    if settings.transport != "auto":
        options["transport"] = settings.transport
    if settings.websocket_connect_timeout_ms is not None:
        options["websocket_connect_timeout_ms"] = settings.websocket_connect_timeout_ms
    if budgets := _budgets(settings.thinking_budgets):
        options["thinking_budgets"] = budgets
    return {**options, **(given or {})}


def tool_options(settings: Settings, given: ToolOptions | None, agent_dir: Path) -> ToolOptions:
    """The options of the built-in tools; programs of the agent directory come first."""
    given = given or {}
    bin_dir = agent_dir / "bin"
    bash: BashToolOptions = {"bin_dir": bin_dir}
    if settings.shell_path:
        bash["shell_path"] = settings.shell_path
    if settings.shell_command_prefix:
        bash["command_prefix"] = settings.shell_command_prefix
    read: ReadToolOptions = {"auto_resize_images": settings.images.auto_resize}
    return {
        **given,
        "bash": {**bash, **given.get("bash", {})},
        "read": {**read, **given.get("read", {})},
        "grep": {"bin_dir": bin_dir, **given.get("grep", {})},
        "find": {"bin_dir": bin_dir, **given.get("find", {})},
    }


def session_settings(settings: Settings) -> SessionSettings:
    """How a session behaves where nobody says otherwise."""
    retry, compaction = settings.retry, settings.compaction
    return SessionSettings(
        retry=RetryPolicy(
            enabled=retry.enabled,
            max_retries=retry.max_retries,
            base_delay_ms=retry.base_delay_ms,
            max_agent_delay_ms=retry.max_agent_delay_ms,
        ),
        compaction=compaction.common(),
        compaction_overrides={
            name: compaction.common(own) for name, own in compaction.model_overrides.items()
        },
        branch_summary_reserve_tokens=settings.branch_summary.reserve_tokens,
        steering_mode=settings.steering_mode,
        follow_up_mode=settings.follow_up_mode,
        default_thinking_level=settings.default_thinking_level,
        model_thinking_levels=settings.model_thinking_levels,
        auto_resize_images=settings.images.auto_resize,
        block_images=settings.images.block_images,
        shell_path=settings.shell_path or None,
        shell_command_prefix=settings.shell_command_prefix or None,
    )


def session_directory(settings: Settings, cwd: Path) -> Path | None:
    """Where sessions are kept, relative to `cwd`; None for the usual place."""
    return cwd / expand_path(settings.session_dir) if settings.session_dir else None


def _budgets(settings: ThinkingBudgetSettings) -> ThinkingBudgets:
    budgets: ThinkingBudgets = {}
    if settings.minimal is not None:
        budgets["minimal"] = settings.minimal
    if settings.low is not None:
        budgets["low"] = settings.low
    if settings.medium is not None:
        budgets["medium"] = settings.medium
    if settings.high is not None:
        budgets["high"] = settings.high
    return budgets
