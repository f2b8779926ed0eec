"""`create_agent`: one call from options to a running session.

Source: sdk spec, section 2.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Literal, TypeAlias, cast

from msgspec import Struct

from pi_agent import Agent, AgentTool, Hooks
from pi_ai import Model, StreamOptions, ThinkingLevel
from pi_ai.models import Models, default_models
from pi_ai.thinking import clamp_thinking_level
from pi_sdk.agent_session import AgentSession
from pi_sdk.custom_providers import load_user_models
from pi_sdk.errors import SdkError, SessionCwdError
from pi_sdk.model_choice import choose_initial_model, match_model, restore_model
from pi_sdk.resources import ContextFile, read_context_files, read_prompt_file
from pi_sdk.session_settings import SaveSetting, ScopedModel, SessionSettings
from pi_sdk.system_prompt import build_sections
from pi_sdk.tool_selection import register_tools, select_tools
from pi_session import SessionManager, resolve_agent_dir
from pi_tools import LocalFileOperations, ToolOptions, create_all_tools

__all__ = ("AgentCreation", "create_agent")

_log = logging.getLogger(__name__)

PathLike: TypeAlias = str | os.PathLike[str]

_DEFAULT_THINKING_LEVEL: ThinkingLevel = "medium"
_PLACEHOLDER = Model(id="unknown", api="unknown", provider="unknown")
_NO_MODELS = (
    "No models available.\n\nSet a provider's key, such as ANTHROPIC_API_KEY or OPENAI_API_KEY, or "
    "describe a server of your own in models.json."
)


class AgentCreation:
    """What `create_agent` gives: await it, or use it in `async with`, to get the session."""

    def __init__(self, options: _Options) -> None:
        self._options = options
        self._session: AgentSession | None = None

    def __await__(self) -> Generator[None, None, AgentSession]:
        return self._create().__await__()

    async def __aenter__(self) -> AgentSession:
        self._session = await self._create()
        return self._session

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.aclose()

    async def _create(self) -> AgentSession:
        return _create(self._options)


def create_agent(
    *,
    cwd: PathLike | None = None,
    agent_dir: PathLike | None = None,
    model: Model | str | None = None,
    thinking_level: ThinkingLevel | None = None,
    tools: Sequence[str] | None = None,
    no_tools: Literal["builtin", "all"] | None = None,
    exclude_tools: Sequence[str] = (),
    custom_tools: Sequence[AgentTool] = (),
    tool_options: ToolOptions | None = None,
    system_prompt: str | None = None,
    append_system_prompt: Sequence[str] = (),
    context_files: bool = True,
    session_manager: SessionManager | None = None,
    models: Models | None = None,
    stream_options: StreamOptions | None = None,
    hooks: Hooks | None = None,
    session_settings: SessionSettings | None = None,
    save_setting: SaveSetting | None = None,
    scoped_models: Sequence[ScopedModel] = (),
) -> AgentCreation:
    """An agent that works in `cwd`, stored as a session: `async with create_agent(...) as agent`.

    Args:
        cwd: Where tools work and whose session it is; the session's, else the process's. It need
            not exist here if `tool_options` has file operations of another place.
        agent_dir: Where sessions and the user's files are (AGENTS.md, SYSTEM.md, APPEND_SYSTEM.md,
            models.json); `~/.pi/agent` by default.
        model: A model, or a reference such as "anthropic/claude-sonnet-4-5:high". By default the
            one the session used last, else one of a provider whose key is in the environment.
        thinking_level: Clamped to what the model can; by default the session's, else medium.
        tools: Names and patterns of the tools to use, or `+name` and `-name` changes to read,
            bash, edit and write.
        no_tools: "builtin" leaves only custom tools, "all" none.
        exclude_tools: Names and patterns taken away last.
        custom_tools: Further tools; one with a built-in's name replaces it.
        tool_options: Options of the built-in tools, by tool.
        system_prompt: In place of the preamble, tool list and rules; SYSTEM.md's by default.
        append_system_prompt: Behind them; that of APPEND_SYSTEM.md by default.
        context_files: Whether AGENTS.md and its kin become part of the prompt.
        session_manager: The session to go on with; closed with the agent, or when there is none
            to be. By default a new one in a file; `SessionManager.in_memory()` for none.
        models: The collection of models, as it is; by default the built-in ones and those of
            models.json.
        stream_options: Go with every request.
        hooks: Where to reach into runs.
        session_settings: How the session behaves by itself: retries, compaction, images, queues.
        save_setting: Stores what is set with `persist`, and modes; by default nothing is stored.
        scoped_models: The models that cycling stops at; by default all that can be used.

    Raises, when it is awaited: `SdkError` for an option that cannot be used, `ModelChoiceError`
    for an unknown model, `SessionError` and OSError for the session file. No model at all is no
    error: prompting raises then. What cannot be used of models.json is logged as a warning.
    """
    return AgentCreation(
        _Options(
            cwd=cwd,
            agent_dir=agent_dir,
            model=model,
            thinking_level=thinking_level,
            tools=tools,
            no_tools=no_tools,
            exclude_tools=exclude_tools,
            custom_tools=custom_tools,
            tool_options=tool_options,
            system_prompt=system_prompt,
            append_system_prompt=append_system_prompt,
            context_files=context_files,
            session_manager=session_manager,
            models=models,
            stream_options=stream_options,
            hooks=hooks,
            session_settings=session_settings,
            save_setting=save_setting,
            scoped_models=scoped_models,
        )
    )


class _Options(Struct, frozen=True, kw_only=True):
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
    session_manager: SessionManager | None
    models: Models | None
    stream_options: StreamOptions | None
    hooks: Hooks | None
    session_settings: SessionSettings | None
    save_setting: SaveSetting | None
    scoped_models: Sequence[ScopedModel]


def _create(options: _Options) -> AgentSession:
    session = options.session_manager
    try:
        cwd = _working_directory(options)
        agent_dir = resolve_agent_dir(options.agent_dir).absolute()
        if session is None:
            session = SessionManager.create(cwd, agent_dir=agent_dir)
        _require_writable(session)
        return _assemble(options, cwd, agent_dir, session)
    except BaseException:
        if session is not None:
            session.close()
        raise


def _assemble(
    options: _Options, cwd: Path, agent_dir: Path, session: SessionManager
) -> AgentSession:
    models = options.models or _user_models(agent_dir)
    built_in = list(create_all_tools(cwd, _tool_options(options, agent_dir)).values())
    tools = select_tools(
        built_in,
        options.custom_tools,
        tools=options.tools,
        no_tools=options.no_tools,
        exclude_tools=options.exclude_tools,
    )
    choice = _choose_model(options.model, models, session)
    level = _choose_level(options, session, choice)
    _record(session, choice.model, level)
    agent = Agent(
        model=choice.model or _PLACEHOLDER,
        thinking_level=level,
        models=models,
        stream_options=options.stream_options,
        hooks=options.hooks,
        cwd=cwd,
    )
    agent.state.tools = tools
    return AgentSession(
        agent=agent,
        session_manager=session,
        models=models,
        model=choice.model,
        sections=partial(
            _sections,
            cwd=str(cwd),
            context_files=read_context_files(cwd, agent_dir) if options.context_files else (),
            custom=_system_prompt(options, agent_dir),
            append=_append_system_prompt(options, agent_dir),
        ),
        model_fallback_message=choice.fallback_message,
        session_settings=options.session_settings,
        save_setting=options.save_setting,
        scoped_models=options.scoped_models,
        registered_tools=register_tools(
            built_in,
            options.custom_tools,
            tools=options.tools,
            no_tools=options.no_tools,
            exclude_tools=options.exclude_tools,
        ),
        custom_tool_names=[tool.name for tool in options.custom_tools],
        bash_operations=(options.tool_options or ToolOptions()).get("bash", {}).get("operations"),
        restores_tools=options.tools is None and options.no_tools is None,
    )


def _user_models(agent_dir: Path) -> Models:
    models, problems = load_user_models(agent_dir, default_models)
    for problem in problems:
        _log.warning("%s", problem)
    return models


def _system_prompt(options: _Options, agent_dir: Path) -> str | None:
    if options.system_prompt is not None:
        return options.system_prompt
    return read_prompt_file(agent_dir / "SYSTEM.md")


def _append_system_prompt(options: _Options, agent_dir: Path) -> Sequence[str]:
    if options.append_system_prompt:
        return options.append_system_prompt
    return [read_prompt_file(agent_dir / "APPEND_SYSTEM.md") or ""]


def _tool_options(options: _Options, agent_dir: Path) -> ToolOptions:
    """The caller's tool options; programs of the user's agent directory come first."""
    given = options.tool_options or ToolOptions()
    bin_dir = agent_dir / "bin"
    return {
        **given,
        "bash": {"bin_dir": bin_dir, **given.get("bash", {})},
        "grep": {"bin_dir": bin_dir, **given.get("grep", {})},
        "find": {"bin_dir": bin_dir, **given.get("find", {})},
    }


def _sections(
    tools: Sequence[AgentTool],
    *,
    cwd: str,
    context_files: Sequence[ContextFile],
    custom: str | None,
    append: Sequence[str],
) -> dict[str, str]:
    return build_sections(
        tools=tools, cwd=cwd, context_files=context_files, custom=custom, append=append
    )


# --- directories ------------------------------------------------------------------------------


def _working_directory(options: _Options) -> Path:
    session = options.session_manager
    if options.cwd is None and session is not None:
        cwd = Path(session.cwd)
        if not cwd.is_dir() and not _works_elsewhere(options):
            raise SessionCwdError(
                f"Stored session working directory does not exist: {cwd}\n"
                f"Session file: {session.session_file}\n"
                f"Current working directory: {Path.cwd()}"
            )
        return cwd
    cwd = Path(os.path.abspath(Path(options.cwd or ".").expanduser()))
    if not cwd.is_dir() and not _works_elsewhere(options):
        raise SdkError(f"cwd: not a directory: {cwd}. Create it, or name another one.")
    return cwd


def _works_elsewhere(options: _Options) -> bool:
    """Whether the file tools are for another place, which may have directories we have not."""
    given = options.tool_options or ToolOptions()
    operations = (
        given.get("read", {}).get("operations"),
        given.get("edit", {}).get("operations"),
        given.get("write", {}).get("operations"),
    )
    return any(one is not None and not isinstance(one, LocalFileOperations) for one in operations)


def _require_writable(session: SessionManager) -> None:
    """Fail now rather than when the first answer is to be stored."""
    if session.session_file is None or session.is_saved:
        return
    directory = session.session_file.parent
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise SdkError(
            f"Session directory is not writable: {directory}. Make it writable, set "
            "PI_CODING_AGENT_DIR or agent_dir, or pass SessionManager.in_memory()."
        )


# --- model and level --------------------------------------------------------------------------


class _Choice(Struct, frozen=True):
    model: Model | None
    thinking_level: ThinkingLevel | None = None
    fallback_message: str | None = None


def _choose_model(wanted: Model | str | None, models: Models, session: SessionManager) -> _Choice:
    """The caller's model, else the session's, else one that can be used."""
    if isinstance(wanted, Model):
        return _Choice(wanted)
    if wanted is not None:
        matched = match_model(models, wanted)
        return _Choice(matched.model, matched.thinking_level)
    context = session.build_session_context()
    recorded = context.model if context.messages else None
    restored = restore_model(models, recorded) if recorded is not None else None
    if restored is not None:
        return _Choice(restored)
    other = choose_initial_model(models)
    if other is None:
        return _Choice(None, fallback_message=_NO_MODELS)
    if recorded is None:
        return _Choice(other)
    return _Choice(
        other,
        fallback_message=f"Could not restore model {recorded.provider}/{recorded.model_id}. "
        f"Using {other.provider}/{other.id}",
    )


def _choose_level(options: _Options, session: SessionManager, choice: _Choice) -> ThinkingLevel:
    level = options.thinking_level or choice.thinking_level
    if level is None and _has_level(session):
        level = cast("ThinkingLevel", session.build_session_context().thinking_level)
    if choice.model is None:
        return "off"
    return clamp_thinking_level(choice.model, level or _DEFAULT_THINKING_LEVEL)


def _has_level(session: SessionManager) -> bool:
    return any(entry.type == "thinking_level_change" for entry in session.get_branch())


def _record(session: SessionManager, model: Model | None, level: ThinkingLevel) -> None:
    """Note what a new session starts with, and a level where an old one names none."""
    if session.read_only:
        return
    if not session.build_session_context().messages:
        if model is not None:
            session.append_model_change(model.provider, model.id)
        session.append_thinking_level_change(level)
    elif not _has_level(session):
        session.append_thinking_level_change(level)
