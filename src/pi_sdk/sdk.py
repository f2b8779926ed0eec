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
from typing import Literal

from msgspec import Struct

from pi_agent import Agent, AgentTool, Hooks
from pi_ai import Model, ModelsError, StreamOptions, ThinkingLevel
from pi_ai.auth.storage import FileCredentialStore
from pi_ai.models import Models, default_models
from pi_sdk.agent_options import AgentOptions, PathLike, check_agent_options
from pi_sdk.agent_session import AgentSession
from pi_sdk.arguments import check_type
from pi_sdk.custom_providers import load_user_models
from pi_sdk.device_id import stored_device_id
from pi_sdk.errors import SdkError, SessionCwdError
from pi_sdk.resources import ContextFile, read_context_files, read_first_prompt_file
from pi_sdk.session_core import MakeSections
from pi_sdk.session_operations import Reloaded
from pi_sdk.session_settings import ScopedModel, SessionSettings
from pi_sdk.settings import SettingsManager
from pi_sdk.settings_effects import request_options, session_directory, tool_options
from pi_sdk.start_choice import choose_start_level, choose_start_model, record_start
from pi_sdk.system_prompt import build_sections
from pi_sdk.tool_selection import are_changes, register_tools, select_tools
from pi_session import SessionManager, resolve_agent_dir
from pi_tools import LocalFileOperations, ToolOptions, create_all_tools

__all__ = ("AgentCreation", "create_agent", "models_of")

_log = logging.getLogger(__name__)

_PLACEHOLDER = Model(id="unknown", api="unknown", provider="unknown")


class AgentCreation:
    """What `create_agent` gives: await it, or use it in `async with`, to get the session."""

    def __init__(self, options: AgentOptions) -> None:
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
        return await _create(self._options)


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
    settings: SettingsManager | None = None,
    project_trusted: bool = False,
    session_manager: SessionManager | None = None,
    models: Models | None = None,
    stream_options: StreamOptions | None = None,
    hooks: Hooks | None = None,
    session_settings: SessionSettings | None = None,
    scoped_models: Sequence[ScopedModel] = (),
) -> AgentCreation:
    """An agent that works in `cwd`, stored as a session: `async with create_agent(...) as agent`.

    What is said here wins over the settings, and the settings over the defaults.

    Args:
        cwd: Where tools work and whose session it is; the session's, else the process's. It need
            not exist here if `tool_options` has file operations of another place.
        agent_dir: Where sessions and the user's files are (settings.json, models.json,
            auth.json, AGENTS.md, SYSTEM.md, APPEND_SYSTEM.md); `~/.pi/agent` by default.
        model: A model, or a reference such as "anthropic/claude-sonnet-4-5:high". By default the
            one the session used last, else the settings', else one of a provider with a key or
            a login.
        thinking_level: Clamped to what the model can; by default the session's, else the
            settings', else medium.
        tools: Names and patterns of the tools to use, or `+name` and `-name` changes to read,
            bash, edit and write.
        no_tools: "builtin" leaves only custom tools, "all" none.
        exclude_tools: Names and patterns taken away last.
        custom_tools: Further tools; one with a built-in's name replaces it.
        tool_options: Options of the built-in tools, by tool.
        system_prompt: In place of the preamble, tool list and rules; SYSTEM.md's by default.
        append_system_prompt: Behind them; that of APPEND_SYSTEM.md by default.
        context_files: Whether AGENTS.md and its kin become part of the prompt.
        settings: In place of those of the files; `SettingsManager.in_memory()` for none.
        project_trusted: Whether the project's own `.pi/settings.json`, `.pi/SYSTEM.md` and
            `.pi/APPEND_SYSTEM.md` count; they can run programs. Not with `settings`, which know it.
        session_manager: The session to go on with; closed with the agent, or when there is none
            to be. By default a new one in a file; `SessionManager.in_memory()` for none.
        models: The collection of models, as it is; by default the built-in ones and those of
            models.json, with the credentials of auth.json.
        stream_options: Go with every request.
        hooks: Where to reach into runs.
        session_settings: How the session behaves by itself (retries, compaction, images, queues),
            in place of what the settings say of that.
        scoped_models: The models that cycling stops at; by default all that can be used.

    Raises, when it is awaited: TypeError for an option of another type, `SdkError` for one that
    cannot be used, `ModelChoiceError` for an unknown model, `SessionError` and OSError for the
    session file. No model at all is no
    error: prompting raises then. What cannot be used of models.json and settings.json is logged as
    a warning.
    """
    return AgentCreation(
        AgentOptions(
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
            settings=settings,
            project_trusted=project_trusted,
            session_manager=session_manager,
            models=models,
            stream_options=stream_options,
            hooks=hooks,
            session_settings=session_settings,
            scoped_models=scoped_models,
        )
    )


async def _create(options: AgentOptions) -> AgentSession:
    check_type("session_manager", options.session_manager, SessionManager)
    session = options.session_manager
    try:
        check_agent_options(options)
        cwd = _working_directory(options)
        agent_dir = resolve_agent_dir(options.agent_dir).absolute()
        settings = _settings(options, cwd, agent_dir)
        if session is None:
            session_dir = session_directory(settings.current, cwd)
            session = SessionManager.create(cwd, session_dir, agent_dir=agent_dir)
        _require_writable(session)
        models = options.models or _user_models(agent_dir)
        await _look_up_credentials(models)
        return _assemble(options, _Place(cwd, agent_dir, settings), session, models=models)
    except BaseException:
        if session is not None:
            session.close()
        raise


class _Place(Struct, frozen=True):
    """Where the agent works, where the user's files are, and the settings of both."""

    cwd: Path
    agent_dir: Path
    settings: SettingsManager


async def _look_up_credentials(models: Models) -> None:
    """Learn which providers have stored credentials; a store that fails is told of by requests."""
    try:
        await models.credentials.list()
    except ModelsError as error:
        _log.warning("%s", error)


def _assemble(
    options: AgentOptions, place: _Place, session: SessionManager, *, models: Models
) -> AgentSession:
    settings = place.settings.current
    tools = _make_tools(options, place)
    changes = options.tools if options.tools and are_changes(options.tools) else ()
    choice = choose_start_model(session, models, settings, wanted=options.model)
    level = choose_start_level(session, choice, settings, wanted=options.thinking_level)
    record_start(session, choice.model, level)
    agent = Agent(
        model=choice.model or _PLACEHOLDER,
        thinking_level=level,
        models=models,
        stream_options=request_options(settings, options.stream_options),
        hooks=options.hooks,
        cwd=place.cwd,
    )
    agent.state.tools = tools.active
    return AgentSession(
        agent=agent,
        session_manager=session,
        models=models,
        model=choice.model,
        settings=place.settings,
        sections=_make_sections(options, place),
        model_fallback_message=choice.fallback_message,
        session_settings=options.session_settings,
        scoped_models=options.scoped_models,
        registered_tools=tools.registered,
        custom_tool_names=[tool.name for tool in options.custom_tools],
        bash_operations=(options.tool_options or ToolOptions()).get("bash", {}).get("operations"),
        restores_tools=options.no_tools is None and (options.tools is None or bool(changes)),
        tool_changes=changes,
        reload=partial(_reload, options, place),
    )


class _Tools(Struct, frozen=True):
    """The tools to start with, and all that can be made active."""

    active: list[AgentTool]
    registered: list[AgentTool]


def _make_tools(options: AgentOptions, place: _Place) -> _Tools:
    settings = place.settings.current
    tool_settings = tool_options(settings, options.tool_options, place.agent_dir)
    built_in = list(create_all_tools(place.cwd, tool_settings).values())
    active = select_tools(
        built_in,
        options.custom_tools,
        tools=options.tools,
        no_tools=options.no_tools,
        exclude_tools=options.exclude_tools,
        default_tools=settings.default_tools,
    )
    registered = register_tools(
        built_in,
        options.custom_tools,
        tools=options.tools,
        no_tools=options.no_tools,
        exclude_tools=options.exclude_tools,
    )
    return _Tools(active, registered)


async def _reload(options: AgentOptions, place: _Place) -> Reloaded:
    before = {tool.name for tool in _make_tools(options, place).active}
    place.settings.reload()
    for problem in place.settings.drain_errors():
        _log.warning("%s", problem)
    tools = _make_tools(options, place)
    return Reloaded(
        stream_options=request_options(place.settings.current, options.stream_options),
        sections=_make_sections(options, place),
        registered_tools=tools.registered,
        added_tools=[tool for tool in tools.active if tool.name not in before],
    )


def models_of(agent_dir: Path) -> Models:
    """The built-in models, with the keys and logins of the directory's auth.json."""
    models = default_models.copy(credentials=FileCredentialStore(agent_dir / "auth.json"))
    models.credentials.get_device_id = partial(stored_device_id, agent_dir)
    return models


def _user_models(agent_dir: Path) -> Models:
    models, problems = load_user_models(agent_dir, models_of(agent_dir))
    for problem in problems:
        _log.warning("%s", problem)
    return models


def _settings(options: AgentOptions, cwd: Path, agent_dir: Path) -> SettingsManager:
    if options.settings is not None:
        if options.project_trusted:
            raise SdkError(
                "project_trusted: the settings that were passed decide that. Leave it out, or pass "
                "it to SettingsManager.create."
            )
        return options.settings
    settings = SettingsManager.create(cwd, agent_dir, project_trusted=options.project_trusted)
    for problem in settings.drain_errors():
        _log.warning("%s", problem)
    return settings


# --- the system prompt ------------------------------------------------------------------------


def _make_sections(options: AgentOptions, place: _Place) -> MakeSections:
    """What makes the prompt's sections, with the files as they are now."""
    files = read_context_files(place.cwd, place.agent_dir) if options.context_files else ()
    return partial(
        _sections,
        cwd=str(place.cwd),
        context_files=files,
        custom=_system_prompt(options, place),
        append=_append_system_prompt(options, place),
    )


def _system_prompt(options: AgentOptions, place: _Place) -> str | None:
    if options.system_prompt is not None:
        return options.system_prompt
    return read_first_prompt_file("SYSTEM.md", _prompt_directories(place))


def _append_system_prompt(options: AgentOptions, place: _Place) -> Sequence[str]:
    if options.append_system_prompt:
        return options.append_system_prompt
    return [read_first_prompt_file("APPEND_SYSTEM.md", _prompt_directories(place)) or ""]


def _prompt_directories(place: _Place) -> list[Path]:
    trusted = [place.cwd / ".pi"] if place.settings.project_trusted else []
    return [*trusted, place.agent_dir]


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


def _working_directory(options: AgentOptions) -> Path:
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


def _works_elsewhere(options: AgentOptions) -> bool:
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
