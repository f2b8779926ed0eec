"""For tests without a provider: a scripted provider, and scripted servers on loopback."""

from __future__ import annotations

from pi_ai.testing.faux import FauxProvider, FauxRequest, faux_message, faux_tool_call
from pi_ai.testing.login_server import LoginServer
from pi_ai.testing.loopback import LoopbackRequest, LoopbackResponse, LoopbackServer
from pi_ai.testing.scripted_server import ScriptedServer
from pi_ai.testing.validators import (
    InvalidRequestError,
    RequestProblem,
    check_anthropic_request,
    check_completions_request,
    check_responses_request,
    validate_anthropic_request,
    validate_completions_request,
    validate_responses_request,
)

__all__ = (
    "FauxProvider",
    "FauxRequest",
    "InvalidRequestError",
    "LoginServer",
    "LoopbackRequest",
    "LoopbackResponse",
    "LoopbackServer",
    "RequestProblem",
    "ScriptedServer",
    "check_anthropic_request",
    "check_completions_request",
    "check_responses_request",
    "faux_message",
    "faux_tool_call",
    "validate_anthropic_request",
    "validate_completions_request",
    "validate_responses_request",
)
