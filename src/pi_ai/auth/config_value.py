"""Values in configuration files that may name environment variables: `$NAME`, `${NAME}`.

Source: auth spec, section 8.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pi_ai.env import get_provider_env

__all__ = ("ConfigValue",)

_PIECE = re.compile(r"\$(?:([$!])|\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


class ConfigValue:
    """A literal with references to variables; `$$` and `$!` stand for `$` and `!`.

    `variables` are those that it names, in order. Never shows its text in the repr.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        names = (match[2] or match[3] for match in _PIECE.finditer(text))
        self.variables = tuple(dict.fromkeys(name for name in names if name))

    def __repr__(self) -> str:
        return f"<ConfigValue of {', '.join(self.variables) or 'no variables'}>"

    @property
    def is_command(self) -> bool:
        """Whether a shell is to give the value."""
        return self._text.startswith("!")

    def unset(self, env: Mapping[str, str] | None = None) -> list[str]:
        """The variables that have no value, which leave the whole value unresolved."""
        return [name for name in self.variables if not get_provider_env(name, env)]

    def resolve(self, env: Mapping[str, str] | None = None) -> str | None:
        """The text with its references filled in, from `env` before the process environment."""
        if self.unset(env):
            return None

        def fill(match: re.Match[str]) -> str:
            name = match[2] or match[3]
            return match[1] if name is None else get_provider_env(name, env) or ""

        return _PIECE.sub(fill, self._text)
