"""The arguments of `create_agent`, whose docstring tells what each is, and checks of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from pi_agent import AgentTool, Hooks
from pi_ai import THINKING_LEVELS, Model, StreamOptions, ThinkingLevel
from pi_ai.check import check_options
from pi_ai.models import Models
from pi_sdk.arguments import check_choice, check_each, check_names, check_type
from pi_sdk.errors import SdkError
from pi_sdk.session_settings import ScopedModel, SessionSettings
from pi_sdk.settings import SettingsManager
from pi_session import SessionManager
from pi_tools import ToolOptions

__all__ = ("AgentOptions", "PathLike", "check_agent_options")

PathLike: TypeAlias = str | os.PathLike[str]


class AgentOptions(Struct, frozen=True, kw_only=True):
    """The arguments of `create_agent`."""

    cwd: PathLike | None
    agent_dir: PathLike | None
    model: Model | str | None
    thinking_level: ThinkingLevel | None
    tools: Sequence[str] | None
    no_tools: Literal["builtin", "all"] | None
    exclude_tools: Sequence[str]
    custom_tools: Sequence[AgentTool]
    tool_options: ToolOptions | None
    system_prompt: str | None
    append_system_prompt: Sequence[str]
    context_files: bool
    settings: SettingsManager | None
    project_trusted: bool
    session_manager: SessionManager | None
    models: Models | None
    stream_options: StreamOptions | None
    hooks: Hooks | None
    session_settings: SessionSettings | None
    scoped_models: Sequence[ScopedModel]


def check_agent_options(options: AgentOptions) -> None:
    """Raise TypeError for an option of another type, `SdkError` for a value that is none."""
    for name in ("cwd", "agent_dir"):
        check_type(name, getattr(options, name), str, os.PathLike)
    check_type("model", options.model, Model, str)
    check_type("system_prompt", options.system_prompt, str)
    check_type("settings", options.settings, SettingsManager)
    check_type("models", options.models, Models)
    check_type("hooks", options.hooks, Hooks)
    check_type("session_settings", options.session_settings, SessionSettings)
    for name in ("context_files", "project_trusted"):
        check_type(name, getattr(options, name), bool, optional=False)
    if options.tools is not None:
        check_names("tools", options.tools)
    check_names("exclude_tools", options.exclude_tools)
    check_names("append_system_prompt", options.append_system_prompt)
    check_each("custom_tools", options.custom_tools, AgentTool)
    check_each("scoped_models", options.scoped_models, ScopedModel)
    check_type("tool_options", options.tool_options, dict)
    check_type("stream_options", options.stream_options, dict)
    check_options(options.stream_options or {})
    try:
        check_choice("thinking_level", options.thinking_level, THINKING_LEVELS)
        check_choice("no_tools", options.no_tools, ("builtin", "all"))
        for name in options.tool_options or ():
            check_choice("tool_options", name, tuple(ToolOptions.__annotations__))
    except ValueError as error:
        raise SdkError(str(error)) from None
