"""From the command line of the RPC server to its runtime.

Source: rpc spec, section 2.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from pi_ai import Models, ModelsError, StreamOptions
from pi_sdk.agent_session import AgentSession
from pi_sdk.custom_providers import load_user_models
from pi_sdk.errors import SdkError
from pi_sdk.model_choice import ModelChoice, match_start_model
from pi_sdk.model_scope import ModelScope, match_scope
from pi_sdk.rpc_options import RpcOptions, StartupError, warn
from pi_sdk.runtime import AgentSessionRuntime
from pi_sdk.sdk import create_agent, models_of
from pi_sdk.settings import SettingsManager
from pi_sdk.settings_effects import session_directory
from pi_sdk.settings_types import Settings
from pi_sdk.trust import decide_project_trust
from pi_session import (
    SessionManager,
    default_session_dir,
    find_session_by_id,
    resolve_agent_dir,
)
from pi_session.locations import expand_path

__all__ = ("open_runtime",)

_SET_BY_COMMANDS = frozenset({"steeringMode", "followUpMode", "compaction", "retry"})


async def open_runtime(options: RpcOptions) -> AgentSessionRuntime:
    """A runtime with the session that the options ask for; they hold for those that follow it too.

    Each session has the settings of where it works, and the project's own if its user trusts it.
    Raises as `create_agent` does, and `StartupError`. What cannot be used of models.json and
    settings.json, and what was chosen for want of something better, is told on standard error.
    """
    models = await _load_models()
    choice = _choose_model(options, models)
    told: set[str] = set()
    latest: SettingsManager | None = None

    def warn_once(text: str) -> None:
        if text not in told:
            told.add(text)
            warn(text)

    async def create(manager: SessionManager) -> AgentSession:
        nonlocal latest
        try:
            settings = _load_settings(options, Path(manager.cwd))
            if latest is not None and not options.persist_settings:
                _keep_what_was_set(latest, settings)
            latest = settings
            for problem in settings.drain_errors():
                warn_once(str(problem))
            scope = match_scope(models, options.models or settings.current.enabled_models)
            for problem in scope.warnings:
                warn_once(problem)
            start = choice
            if start is None and not manager.build_session_context().messages:
                start = _choose_in_scope(scope, settings.current)
        except BaseException:
            manager.close()
            raise
        return await create_agent(
            model=start.model if start else None,
            thinking_level=options.thinking or (start.thinking_level if start else None),
            tools=options.tools,
            no_tools=options.no_tools,
            exclude_tools=options.exclude_tools,
            system_prompt=options.system_prompt,
            append_system_prompt=options.append_system_prompt,
            context_files=options.context_files,
            settings=settings,
            session_manager=manager,
            models=models,
            scoped_models=scope.entries,
            stream_options=StreamOptions(api_key=options.api_key) if options.api_key else None,
        )

    session = await create(_open_session(options))
    if options.name is not None:
        try:
            await session.set_session_name(options.name)
        except BaseException:
            await session.aclose()
            raise
    if session.model_fallback_message:
        warn(session.model_fallback_message)
    return AgentSessionRuntime(session, create)


def _choose_model(options: RpcOptions, models: Models) -> ModelChoice | None:
    if options.model is None:
        return None
    choice = match_start_model(models, options.model, provider=options.provider)
    if choice.warning:
        warn(choice.warning)
    return choice


def _choose_in_scope(scope: ModelScope, settings: Settings) -> ModelChoice | None:
    """The model of the settings if it is in the scope, else the first one there."""
    if not scope.entries:
        return None
    saved = (settings.default_provider, settings.default_model)
    chosen = next(
        (one for one in scope.entries if (one.model.provider, one.model.id) == saved),
        scope.entries[0],
    )
    return ModelChoice(chosen.model, chosen.thinking_level)


async def _load_models() -> Models:
    agent_dir = resolve_agent_dir().absolute()
    models, problems = load_user_models(agent_dir, models_of(agent_dir))
    try:
        await models.credentials.list()
    except ModelsError as error:
        problems.append(str(error))
    for problem in problems:
        warn(problem)
    return models


def _load_settings(options: RpcOptions, cwd: Path) -> SettingsManager:
    """The settings for `cwd`, whose own count if its user trusts it."""
    persist = options.persist_settings
    user = SettingsManager.create(cwd, persist=persist)
    trusted = decide_project_trust(
        cwd, decision=options.project_trusted, default=user.current.default_project_trust
    )
    return SettingsManager.create(cwd, project_trusted=True, persist=persist) if trusted else user


def _keep_what_was_set(old: SettingsManager, new: SettingsManager) -> None:
    """Let what commands have set, and no file holds, count for the next session too."""
    for name, value in old.layer("global").items():
        if name in _SET_BY_COMMANDS:
            with suppress(SdkError):  # an unusable value is the file's, which counts for itself
                new.set(name, value)


def _open_session(options: RpcOptions) -> SessionManager:
    cwd = Path.cwd()
    session_dir = options.session_dir
    if session_dir is None:
        session_dir = session_directory(_load_settings(options, cwd).current, cwd)
    if options.fork is not None:
        return _forked_session(options.fork, cwd, session_dir, id=options.session_id)
    if options.in_memory:
        return SessionManager.in_memory(cwd, id=options.session_id)
    if options.session is not None:
        return SessionManager.open(_session_path(options.session, cwd, session_dir), session_dir)
    if options.resume:
        return SessionManager.continue_recent(cwd, session_dir)
    if options.session_id is not None:
        known = find_session_by_id(cwd, options.session_id, session_dir)
        if known is not None:
            return SessionManager.open(known, session_dir)
    manager = SessionManager.create(cwd, session_dir, id=options.session_id)
    if options.session_id is not None:
        warn(
            f"No project session found with id '{options.session_id}'; "
            "creating a new session with that id."
        )
    return manager


def _forked_session(
    reference: str, cwd: Path, session_dir: str | Path | None, *, id: str | None
) -> SessionManager:
    source = _session_path(reference, cwd, session_dir, anywhere=True)
    return SessionManager.fork_from(source, cwd, session_dir, id=id)


def _session_path(
    reference: str, cwd: Path, session_dir: str | Path | None, *, anywhere: bool = False
) -> Path:
    """The file at a path, which may be new, or of the session whose id begins so, the newest.

    `anywhere`: the session may be of another working directory.
    """
    if "/" in reference or os.sep in reference or reference.endswith(".jsonl"):
        return Path(reference)
    known = find_session_by_id(cwd, reference, session_dir)
    if known is not None:
        return known
    directory = Path(expand_path(session_dir)) if session_dir else default_session_dir(cwd)
    files = [*directory.glob("*.jsonl")]
    if anywhere and not session_dir:
        files += directory.parent.glob("*/*.jsonl")
    begun = [path for path in files if path.stem.partition("_")[2].startswith(reference)]
    if not begun or not reference:
        raise StartupError(f"No session found matching '{reference}'")
    return max(begun, key=lambda path: path.stem)
