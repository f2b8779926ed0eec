"""For tests without a provider: a scripted provider, and scripted servers on loopback."""

from __future__ import annotations

from pi_ai.testing.faux import FauxProvider, FauxRequest, faux_message
from pi_ai.testing.loopback import LoopbackRequest, LoopbackResponse, LoopbackServer
from pi_ai.testing.scripted_server import ScriptedServer

__all__ = (
    "FauxProvider",
    "FauxRequest",
    "LoopbackRequest",
    "LoopbackResponse",
    "LoopbackServer",
    "ScriptedServer",
    "faux_message",
)
