"""Values in configuration files: literals, `$NAME` and `${NAME}` templates, `!command`s.

Source: auth spec, section 8.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pi_ai.env import get_provider_env
from pi_ai.secrets import Secret

__all__ = ("ConfigValue", "clear_config_value_cache")

_PIECE = re.compile(r"\$(?:([$!])|\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


class ConfigValue:
    """A literal with references to variables, or a command that prints the value.

    `$$` and `$!` stand for `$` and `!`; a `!` in front makes the rest a command. `variables` are
    those that a template names, in order. Never shows its text in the repr.
    """

    def __init__(self, text: str) -> None:
        self._text = Secret(text)
        self.is_command = text.startswith("!")
        """Whether a shell is to give the value."""
        pieces = () if self.is_command else _PIECE.finditer(text)
        names = (match[2] or match[3] for match in pieces)
        self.variables = tuple(dict.fromkeys(name for name in names if name))

    def __repr__(self) -> str:
        kind = "a command" if self.is_command else ", ".join(self.variables) or "no variables"
        return f"<ConfigValue of {kind}>"

    def unset(self, env: Mapping[str, str] | None = None) -> list[str]:
        """The variables that have no value, which leave the whole value unresolved."""
        return [name for name in self.variables if not get_provider_env(name, env)]

    def describe_failure(self, what: str, env: Mapping[str, str] | None = None) -> str:
        """Why `what`, such as `API key for provider "acme"`, has no value. No command is named."""
        if self.is_command:
            return f"Failed to resolve {what} from shell command"
        unset = self.unset(env)
        noun = "variable" if len(unset) == 1 else "variables"
        return f"Failed to resolve {what} from environment {noun}: {', '.join(unset)}"

    async def resolve(
        self, env: Mapping[str, str] | None = None, *, run_again: bool = False
    ) -> str | None:
        """The value, or None if there is none: a variable without a value, a command that fails.

        Variables come from `env` before the process environment. A command sees the latter only;
        it runs once in the life of the process, at each call with `run_again`.
        """
        if self.is_command:
            return await self._run(run_again=run_again)
        if self.unset(env):
            return None

        def fill(match: re.Match[str]) -> str:
            name = match[2] or match[3]
            return match[1] if name is None else get_provider_env(name, env) or ""

        return Secret(_PIECE.sub(fill, self._text))

    async def _run(self, *, run_again: bool) -> str | None:
        from pi_ai.auth.shell_command import command_outputs, run_shell_command  # subprocess

        command = self._text[1:]
        if run_again:
            output = await run_shell_command(command)
        else:
            output = await command_outputs.get(command)
        return None if output is None else Secret(output)


def clear_config_value_cache() -> None:
    """Forget what commands printed, so that they run again when their value is needed."""
    from pi_ai.auth.shell_command import command_outputs

    command_outputs.clear()
