"""The command line of the RPC server, and the session that it asks for.

Source: rpc spec, section 2.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

from msgspec import Struct

from pi_ai import THINKING_LEVELS, Models, StreamOptions, ThinkingLevel
from pi_ai.models import default_models
from pi_sdk.agent_session import AgentSession
from pi_sdk.custom_providers import load_user_models
from pi_sdk.model_choice import ModelChoice, match_start_model
from pi_sdk.model_scope import match_scope
from pi_sdk.runtime import AgentSessionRuntime
from pi_sdk.sdk import create_agent
from pi_session import (
    SessionManager,
    default_session_dir,
    find_session_by_id,
    resolve_agent_dir,
)
from pi_session.locations import expand_path

__all__ = ("RpcOptions", "StartupError", "open_runtime", "parse_arguments")


class StartupError(Exception):
    """The server cannot start; the text is the line for standard error."""


class RpcOptions(Struct, frozen=True):
    """What the command line says."""

    provider: str | None = None
    model: str | None = None
    api_key: str | None = None
    thinking: ThinkingLevel | None = None
    system_prompt: str | None = None
    append_system_prompt: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    in_memory: bool = False
    session: str | None = None
    session_id: str | None = None
    fork: str | None = None
    resume: bool = False
    session_dir: str | None = None
    name: str | None = None
    tools: tuple[str, ...] | None = None
    exclude_tools: tuple[str, ...] = ()
    no_tools: Literal["builtin", "all"] | None = None
    context_files: bool = True


_IGNORED_FLAGS = ("--approve", "-a", "--no-approve", "-na", "--offline", "--verbose")
"""Accepted for clients written for upstream; there is nothing here that they would change."""

_NOT_TOGETHER = {
    "fork": ("session", "resume", "no_session"),
    "session_id": ("session", "resume"),
}
_FLAG_NAMES = {"session_id": "--session-id", "resume": "--continue", "no_session": "--no-session"}
_MODES = ("text", "json", "rpc")

_ABSENT_FLAGS = (
    *("--no-extensions", "-ne", "--no-skills", "-ns", "--no-prompt-templates", "-np"),
    *("--no-themes", "--no-mcp"),
)
"""What they switch off is not here in the first place."""

_ABSENT_OPTIONS = (
    *("--extension", "-e", "--skill", "--prompt-template", "--theme", "--use-theme"),
    "--tui-mode",
)
"""What they ask for is not here; each is ignored with a warning."""

_TOOL_CHANGES = re.compile(r"-[A-Za-z0-9_]+(,[+-][A-Za-z0-9_]+)*")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise StartupError(f"Error: {message}")


class _Absent(argparse.Action):
    """Warns of an option whose value nothing here could use."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        _warn(f"{option_string} is ignored: there are no extensions, skills, prompts or themes")


def parse_arguments(arguments: Sequence[str]) -> RpcOptions:
    """Read the command line. Raises `StartupError`."""
    for argument in arguments:
        if argument.startswith("@"):
            raise StartupError("Error: @file arguments are not supported in RPC mode")
    parser = _Parser(prog="python -m pi_sdk.rpc", allow_abbrev=False, description=__doc__)
    add = parser.add_argument
    add("--mode", metavar="rpc", default="rpc", help="ignored: always rpc")
    add("--provider", metavar="P", help="where the model is")
    add("--model", metavar="M[:level]", help="the model to start with")
    add("--api-key", metavar="K", help="the key to use; not stored")
    add("--thinking", metavar="L", help=", ".join(THINKING_LEVELS))
    add("--models", metavar="a,b:high,p/*", help="the models to cycle through")
    add("--system-prompt", metavar="T", help="text, or a file that holds it")
    add("--append-system-prompt", metavar="T", action="append", default=[])
    add("--no-session", action="store_true", help="store nothing")
    add("--session", metavar="PATH|ID", help="go on with this session")
    add("--session-id", metavar="ID", help="go on with the session of this id, or start it")
    add("--fork", metavar="PATH|ID", help="start with a copy of this session")
    add("--continue", "-c", dest="resume", action="store_true", help="go on with the last one")
    add("--session-dir", metavar="D", help="where sessions are")
    add("--name", "-n", metavar="N", help="the session's name")
    add("--tools", "-t", metavar="a,b", help="the tools to use")
    add("--exclude-tools", "-xt", metavar="a,b", help="tools taken away")
    add("--no-tools", "-nt", action="store_true")
    add("--no-builtin-tools", "-nbt", action="store_true")
    add("--no-context-files", "-nc", action="store_true")
    for flag in (*_IGNORED_FLAGS, *_ABSENT_FLAGS):
        add(flag, action="store_true", help=argparse.SUPPRESS)
    for flag in _ABSENT_OPTIONS:
        add(flag, dest="absent", action=_Absent, default=(), help=argparse.SUPPRESS)
    told, rest = parser.parse_known_args(_with_joined_tools(arguments))
    for argument in rest:
        if argument.startswith("-") and argument != "-":
            raise StartupError(f"Error: Unknown option: {argument}")
    return _checked(told)


def _with_joined_tools(arguments: Sequence[str]) -> list[str]:
    """The arguments, with `--tools -bash` made one: argparse takes `-bash` for an option."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] in {"--tools", "-t"} and _TOOL_CHANGES.fullmatch(argument):
            joined[-1] = f"--tools={argument}"
        else:
            joined.append(argument)
    return joined


def _checked(told: Any) -> RpcOptions:
    if told.mode not in _MODES:
        raise StartupError(f'Error: Invalid mode "{told.mode}". Valid values: {", ".join(_MODES)}')
    if told.provider and not told.model:
        raise StartupError(
            "Error: --provider requires --model "
            f"(for example: --provider {told.provider} --model <pattern>)"
        )
    if told.name is not None and not told.name.strip():
        raise StartupError("Error: --name requires a non-empty value")
    for chosen, others in _NOT_TOGETHER.items():
        for other in others:
            if getattr(told, chosen) is not None and getattr(told, other):
                raise StartupError(f"Error: {_flag(chosen)} cannot be combined with {_flag(other)}")
    tools = _names(told.tools)
    if len({name[:1] in {"+", "-"} for name in tools or ()}) > 1:
        raise StartupError("Error: --tools: tool names cannot be mixed with +name or -name entries")
    thinking = told.thinking
    if thinking is not None and thinking not in THINKING_LEVELS:
        _warn(f'Invalid thinking level "{thinking}". Valid values: {", ".join(THINKING_LEVELS)}')
        thinking = None
    return RpcOptions(
        provider=told.provider,
        model=told.model,
        api_key=told.api_key,
        thinking=thinking,
        system_prompt=_text_or_file(told.system_prompt),
        append_system_prompt=tuple(_text_or_file(text) for text in told.append_system_prompt),
        models=_names(told.models) or (),
        in_memory=told.no_session,
        session=told.session,
        session_id=told.session_id,
        fork=told.fork,
        resume=told.resume,
        session_dir=told.session_dir or os.environ.get("PI_CODING_AGENT_SESSION_DIR") or None,
        name=told.name,
        tools=tools,
        exclude_tools=_names(told.exclude_tools) or (),
        no_tools="all" if told.no_tools else "builtin" if told.no_builtin_tools else None,
        context_files=not told.no_context_files,
    )


def _flag(name: str) -> str:
    return _FLAG_NAMES.get(name, f"--{name}")


def _names(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _text_or_file(text: Any) -> Any:
    """The content of a file if the text names one, else the text."""
    if not text or not os.path.isfile(text):  # Path.is_file raises for long texts
        return text
    return Path(text).read_text(encoding="utf-8-sig")


def _warn(text: str) -> None:
    print(f"Warning: {text}", file=sys.stderr)  # noqa: T201


# --- the session ------------------------------------------------------------------------------


async def open_runtime(options: RpcOptions) -> AgentSessionRuntime:
    """A runtime with the session that the options ask for; they hold for those that follow it too.

    Raises as `create_agent` does, and `StartupError`. What cannot be used of models.json, and what
    was chosen for want of something better, is told on standard error.
    """
    models, problems = load_user_models(resolve_agent_dir(), default_models)
    scope = match_scope(models, options.models)
    for problem in (*problems, *scope.warnings):
        _warn(problem)
    choice = _choose_model(options, models)

    async def create(manager: SessionManager) -> AgentSession:
        start = choice
        if start is None and scope.entries and not manager.build_session_context().messages:
            start = ModelChoice(scope.entries[0].model, scope.entries[0].thinking_level)
        return await create_agent(
            model=start.model if start else None,
            thinking_level=options.thinking or (start.thinking_level if start else None),
            tools=options.tools,
            no_tools=options.no_tools,
            exclude_tools=options.exclude_tools,
            system_prompt=options.system_prompt,
            append_system_prompt=options.append_system_prompt,
            context_files=options.context_files,
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
        _warn(session.model_fallback_message)
    return AgentSessionRuntime(session, create)


def _choose_model(options: RpcOptions, models: Models) -> ModelChoice | None:
    if options.model is None:
        return None
    choice = match_start_model(models, options.model, provider=options.provider)
    if choice.warning:
        _warn(choice.warning)
    return choice


def _open_session(options: RpcOptions) -> SessionManager:
    cwd = Path.cwd()
    if options.fork is not None:
        return _forked_session(options.fork, cwd, options)
    if options.in_memory:
        return SessionManager.in_memory(cwd, id=options.session_id)
    if options.session is not None:
        return SessionManager.open(
            _session_path(options.session, cwd, options.session_dir), options.session_dir
        )
    if options.resume:
        return SessionManager.continue_recent(cwd, options.session_dir)
    if options.session_id is not None:
        known = find_session_by_id(cwd, options.session_id, options.session_dir)
        if known is not None:
            return SessionManager.open(known, options.session_dir)
    manager = SessionManager.create(cwd, options.session_dir, id=options.session_id)
    if options.session_id is not None:
        _warn(
            f"No project session found with id '{options.session_id}'; "
            "creating a new session with that id."
        )
    return manager


def _forked_session(reference: str, cwd: Path, options: RpcOptions) -> SessionManager:
    source = _session_path(reference, cwd, options.session_dir, anywhere=True)
    return SessionManager.fork_from(source, cwd, options.session_dir, id=options.session_id)


def _session_path(
    reference: str, cwd: Path, session_dir: str | None, *, anywhere: bool = False
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
