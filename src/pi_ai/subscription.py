"""What requests of a Claude subscription say about the program that sends them.

The provider takes subscription tokens only from requests that look like this; none of it is sent
with an API key. Source: providers spec, sections 5.2, 5.3 and 5.5.
"""

from __future__ import annotations

from msgspec import Struct

__all__ = ("CLAUDE_SUBSCRIPTION", "ClaudeSubscription")


class ClaudeSubscription(Struct, frozen=True, kw_only=True):
    """The fixed words of subscription requests; `Models(subscription=...)` takes others.

    `token_mark` is the part of a key that tells an access token from an API key. `system_prompt`
    is the first system block, before the caller's own prompt. `user_agent` and `app` are the
    headers `User-Agent` and `x-app`, `betas` come first in `anthropic-beta`. `tool_names` are the
    spellings in which the provider knows its own tools; a tool of one of these names, however it
    is spelled, is sent under this one.
    """

    token_mark: str = "sk-ant-oat"
    system_prompt: str = "You are Claude Code, Anthropic's official CLI for Claude."
    user_agent: str = "claude-cli/2.1.322"
    app: str = "cli"
    betas: tuple[str, ...] = ("claude-code-20250219", "oauth-2025-04-20")
    tool_names: tuple[str, ...] = (
        "Read",
        "Write",
        "Edit",
        "Bash",
        "Grep",
        "Glob",
        "AskUserQuestion",
        "EnterPlanMode",
        "ExitPlanMode",
        "KillShell",
        "NotebookEdit",
        "Skill",
        "Task",
        "TaskOutput",
        "TodoWrite",
        "WebFetch",
        "WebSearch",
    )

    def headers(self, token: str) -> dict[str, str]:
        """The headers that name the program and carry the access token."""
        return {
            "Authorization": f"Bearer {token}",
            "User-Agent": self.user_agent,
            "x-app": self.app,
        }

    def tool_name(self, name: str) -> str:
        """A tool's name as the provider spells it; any other name as it is."""
        folded = name.lower()
        return next((own for own in self.tool_names if own.lower() == folded), name)


CLAUDE_SUBSCRIPTION = ClaudeSubscription()
"""What is sent unless a collection of models was given something else."""
