"""What requests of a subscription say about the program that sends them.

The providers take subscription tokens only from requests that look like this; none of it is sent
with an API key. Source: providers spec, sections 5.2, 5.3 and 5.5; spec of
openai-codex-responses, section 8.
"""

from __future__ import annotations

from msgspec import Struct

__all__ = (
    "CHATGPT_SUBSCRIPTION",
    "CLAUDE_SUBSCRIPTION",
    "ChatGptSubscription",
    "ClaudeSubscription",
)


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


class ChatGptSubscription(Struct, frozen=True, kw_only=True):
    """The fixed words of requests to the Codex backend of ChatGPT.

    `originator` names the program. `sse_beta` and `websocket_beta` are the header `OpenAI-Beta`
    over either transport. `instructions` stand in for a system prompt, which the backend requires.
    """

    originator: str = "pi"
    sse_beta: str = "responses=experimental"
    websocket_beta: str = "responses_websockets=2026-02-06"
    instructions: str = "You are a helpful assistant."


CHATGPT_SUBSCRIPTION = ChatGptSubscription()
"""What is sent; request headers of the caller's own win over these."""
