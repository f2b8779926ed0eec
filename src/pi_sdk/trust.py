"""Whether a project's own settings and prompt files count: the user's stored decisions.

A project's files can run programs, so one that nobody decided about is not trusted. Source: sdk
spec, section 5.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pi_ai import JsonObject
from pi_ai.json_text import js_json
from pi_sdk.errors import SdkError
from pi_sdk.json_file import change_json_object, read_json_object
from pi_session import resolve_agent_dir

__all__ = ("TrustStore", "decide_project_trust", "has_gated_resources")

_GATED_NAMES = (
    "settings.json",
    "mcp.json",
    "extensions",
    "skills",
    "prompts",
    "themes",
    "SYSTEM.md",
    "APPEND_SYSTEM.md",
)


class TrustStore:
    """`<agent_dir>/trust.json`: which directories the user trusts, and all that is below them."""

    def __init__(self, agent_dir: str | os.PathLike[str] | None = None) -> None:
        self.path = resolve_agent_dir(agent_dir).absolute() / "trust.json"

    def __repr__(self) -> str:
        return f"<TrustStore {self.path}>"

    def get(self, cwd: str | os.PathLike[str]) -> bool | None:
        """The decision for `cwd` or its nearest ancestor with one; None if there is none.

        Raises `SdkError` for a file that cannot be used.
        """
        try:
            stored = read_json_object(self.path)
        except ValueError as error:
            raise SdkError(f"Invalid trust store {self.path}: {error}") from error
        except OSError as error:
            raise SdkError(f"Failed to read trust store {self.path}: {error}") from error
        for key, decision in stored.items():
            if decision is not None and not isinstance(decision, bool):
                raise SdkError(
                    f'Invalid trust store {self.path}: value for "{key}" must be true, false, '
                    "or null"
                )
        here = _canonical(cwd)
        for directory in (here, *here.parents):
            decision = stored.get(str(directory))
            if decision is not None:
                return decision
        return None

    async def set(self, cwd: str | os.PathLike[str], decision: bool | None) -> None:
        """Store the user's decision for `cwd`; None leaves it to the ancestors'.

        Raises OSError, `SdkError` for a file that cannot be used, which is left as it is, and
        `LockHeldError`.
        """
        key = str(_canonical(cwd))

        def change(stored: JsonObject) -> None:
            stored[key] = decision

        try:
            await change_json_object(self.path, change, _to_text, directory_mode=0o700)
        except ValueError as error:
            raise SdkError(f"Invalid trust store {self.path}: {error}") from error


def decide_project_trust(
    cwd: str | os.PathLike[str],
    agent_dir: str | os.PathLike[str] | None = None,
    *,
    decision: bool | None = None,
    default: Literal["ask", "always", "never"] = "ask",
) -> bool:
    """Whether to trust the project in `cwd` when nobody can be asked.

    In this order: `decision`, what the user stored for it or an ancestor, yes if it has nothing
    that needs trust, and `default`, of which "ask" is no. Raises `SdkError` for a trust store
    that cannot be used.
    """
    if decision is not None:
        return decision
    stored = TrustStore(agent_dir).get(cwd)
    if stored is not None:
        return stored
    return not has_gated_resources(cwd) or default == "always"


def has_gated_resources(cwd: str | os.PathLike[str]) -> bool:
    """Whether the project in `cwd` has files that only count when it is trusted."""
    # Not Path.exists, which raises where a directory may not be looked into.
    here = _canonical(cwd)
    if any(os.path.exists(here / ".pi" / name) for name in _GATED_NAMES):
        return True
    users_own = _canonical("~") / ".agents" / "skills"
    skills = (directory / ".agents" / "skills" for directory in (here, *here.parents))
    return any(path != users_own and os.path.exists(path) for path in skills)


def _canonical(directory: str | os.PathLike[str]) -> Path:
    return Path(os.path.realpath(Path(directory).expanduser()))


def _to_text(stored: JsonObject) -> str:
    return js_json(dict(sorted(stored.items())), indent=2) + "\n"
