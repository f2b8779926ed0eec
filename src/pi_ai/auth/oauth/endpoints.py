"""Where the providers' logins are. Tests give a login other endpoints.

Client ids and token endpoints are those of the modules that refresh the tokens. Source: auth
spec, sections 3.2 to 3.5.
"""

from __future__ import annotations

from msgspec import Struct

from pi_ai.auth.oauth import anthropic_tokens, chatgpt_tokens, codex_tokens

__all__ = ("AnthropicEndpoints", "ChatGptEndpoints", "CodexEndpoints")


class AnthropicEndpoints(Struct, frozen=True, kw_only=True):
    """Claude Pro/Max.

    `callback_port` is tried first; another free one will do. `state_is_verifier` sends the PKCE
    verifier as `state`, as upstream does: whoever sees the redirect can then use the code.
    """

    authorize_url: str = "https://claude.ai/oauth/authorize"
    token_url: str = anthropic_tokens.TOKEN_URL
    copy_code_redirect_uri: str = "https://platform.claude.com/oauth/code/callback"
    callback_port: int = 53692
    callback_path: str = "/callback"
    scope: str = (
        "org:create_api_key user:profile user:inference user:sessions:claude_code "
        "user:mcp_servers user:file_upload"
    )
    state_is_verifier: bool = False

    def redirect_uri(self, port: int) -> str:
        """Where the browser is sent at the end, when the callback server has this port."""
        return f"http://localhost:{port}{self.callback_path}"


class CodexEndpoints(Struct, frozen=True, kw_only=True):
    """ChatGPT Plus/Pro through the Codex backend. The provider takes no other callback port."""

    authorize_url: str = "https://auth.openai.com/oauth/authorize"
    token_url: str = codex_tokens.TOKEN_URL
    callback_port: int = 1455
    callback_path: str = "/auth/callback"
    scope: str = "openid profile email offline_access"
    device_code_url: str = "https://auth.openai.com/api/accounts/deviceauth/usercode"
    device_token_url: str = "https://auth.openai.com/api/accounts/deviceauth/token"
    device_verification_uri: str = "https://auth.openai.com/codex/device"
    device_redirect_uri: str = "https://auth.openai.com/deviceauth/callback"

    @property
    def redirect_uri(self) -> str:
        """Where the browser is sent at the end."""
        return f"http://localhost:{self.callback_port}{self.callback_path}"


class ChatGptEndpoints(Struct, frozen=True, kw_only=True):
    """Sign in with ChatGPT. `client_id` asks for a client id of the user's own."""

    client_id: str = "dynamic_agent_client"
    authorize_url: str = "https://auth.openai.com/api/accounts/authorize"
    token_url: str = chatgpt_tokens.TOKEN_URL
    callback_port: int = 1455
    callback_path: str = "/auth/callback"
    scope: str = "openid profile email offline_access resource.invoke chatgpt.tokens.use.direct"

    @property
    def redirect_uri(self) -> str:
        """Where the browser is sent at the end; this server takes no `localhost`."""
        return f"http://127.0.0.1:{self.callback_port}{self.callback_path}"
