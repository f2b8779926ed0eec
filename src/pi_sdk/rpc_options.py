"""The command line of the RPC server.

Source: rpc spec, section 2.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

from msgspec import Struct

from pi_ai import THINKING_LEVELS, ThinkingLevel

__all__ = ("RpcOptions", "StartupError", "parse_arguments", "tell_user", "warn")


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
    project_trusted: bool | None = None
    persist_settings: bool = True


_IGNORED_FLAGS = ("--offline", "--verbose")
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

_ABSENT_TOOLS = frozenset({"powershell"})
"""Upstream's tools that are not here; one that is named is left out with a warning."""


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
        warn(f"{option_string} is ignored: there are no extensions, skills, prompts or themes")


def parse_arguments(arguments: Sequence[str]) -> RpcOptions:
    """Read the command line. Raises `StartupError`."""
    parser = _Parser(prog="python -m pi_sdk.rpc", allow_abbrev=False, description=__doc__)
    with_value: set[str] = set()

    def add(*flags: str, **more: Any) -> None:
        option = parser.add_argument(*flags, **more)
        if option.nargs != 0:
            with_value.update(option.option_strings)

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
    add(
        "--approve",
        "-a",
        dest="trusted",
        action="store_const",
        const=True,
        help="let the project's own settings count",
    )
    add("--no-approve", "-na", dest="trusted", action="store_const", const=False)
    add(
        "--no-persist-settings",
        action="store_true",
        help="what commands set does not go into the user's settings.json",
    )
    for flag in (*_IGNORED_FLAGS, *_ABSENT_FLAGS):
        add(flag, action="store_true", help=argparse.SUPPRESS)
    for flag in _ABSENT_OPTIONS:
        add(flag, dest="absent", action=_Absent, default=(), help=argparse.SUPPRESS)
    told, rest = parser.parse_known_args(_with_joined_values(arguments, with_value))
    if any(argument.startswith("@") for argument in rest):
        raise StartupError("Error: @file arguments are not supported in RPC mode")
    for argument in rest:
        if argument.startswith("-") and argument != "-":
            raise StartupError(f"Error: Unknown option: {argument}")
    return _checked(told)


def _with_joined_values(arguments: Sequence[str], with_value: Collection[str]) -> list[str]:
    """Each option made one with its value, whatever that is: argparse takes `-bash` for an option.

    Raises `StartupError` if there is none.
    """
    joined: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument in with_value:
            value = next(rest, None)
            if value is None:
                raise StartupError(f"Error: {argument} requires a value")
            joined.append(f"{argument}={value}")
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
        warn(f'Invalid thinking level "{thinking}". Valid values: {", ".join(THINKING_LEVELS)}')
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
        tools=_present(tools),
        exclude_tools=_names(told.exclude_tools) or (),
        no_tools="all" if told.no_tools else "builtin" if told.no_builtin_tools else None,
        context_files=not told.no_context_files,
        project_trusted=told.trusted,
        persist_settings=not told.no_persist_settings,
    )


def _flag(name: str) -> str:
    return _FLAG_NAMES.get(name, f"--{name}")


def _names(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _present(tools: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """`tools` without those of upstream that are not here; None for what changes nothing then."""
    if tools is None:
        return None
    absent = [name for name in tools if name.lstrip("+-") in _ABSENT_TOOLS]
    for name in absent:
        warn(f"--tools: {name} is ignored: there is no such tool")
    present = tuple(name for name in tools if name not in absent)
    return present if present or not tools or tools[0][0] not in "+-" else None


def _text_or_file(text: Any) -> Any:
    """The content of a file if the text names one, else the text."""
    if not text or not os.path.isfile(text):  # Path.is_file raises for long texts
        return text
    return Path(text).read_text(encoding="utf-8-sig")


def warn(text: str) -> None:
    """Tell the user, on standard error, of something that does not stop the start."""
    tell_user(f"Warning: {text}")


def tell_user(text: str) -> None:
    """Write to standard error. That nobody takes it any more is no failure of the server."""
    try:
        print(text, file=sys.stderr, flush=True)  # noqa: T201
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)  # for what the buffer still holds: it would fail again at the exit
        os.close(null)
