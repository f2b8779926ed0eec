"""One interface over many LLM APIs."""
from pi_ai.abort import AbortController, AbortSignal, abort_scope
from pi_ai.errors import *
from pi_ai.events import *
from pi_ai.types import *
from pi_ai.wire import decode, encode
