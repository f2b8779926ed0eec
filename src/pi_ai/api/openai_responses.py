"""The adapter for OpenAI's Responses API and the servers that speak it.

Source: spec of openai-responses, section 7; https://platform.openai.com/docs/api-reference/responses.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, aclosing

from pi_ai.api._exchange import Exchange, Refusal, decoded, exchange, join_url
from pi_ai.api._options import (
    require_adapter_options,
    require_credentials,
    resolve_cache_retention,
)
from pi_ai.api._responses_decoder import Decoder
from pi_ai.api._responses_errors import refusal_text
from pi_ai.api._responses_request import OPENAI_BASE_URL, ResponsesOptions, build_request
from pi_ai.provider import Call
from pi_ai.stream import EventBatches

__all__ = ("ResponsesOptions", "stream")


async def stream(call: Call[ResponsesOptions]) -> EventBatches:
    """One request over `openai-responses`. See `pi_ai.provider.Adapter`."""
    require_adapter_options(call, ResponsesOptions)
    require_credentials(call)
    async with AsyncExitStack() as stack:
        response, decoder = await _open(call, stack)
        yield [call.message.start()]
        async with aclosing(decoded(call, response, decoder)) as batches:
            async for events in batches:
                yield events
    decoder.close()


async def _open(call: Call[ResponsesOptions], stack: AsyncExitStack) -> tuple[Exchange, Decoder]:
    """Send the request; gives the accepted response and what reads it."""
    request = build_request(
        call.model,
        call.messages,
        call.options,
        call.adapter,
        api_key=call.api_key,
        extra_headers=call.headers,
        retention=resolve_cache_retention(call),
    )
    if request.effort is not None:
        call.message.set_provider_thinking_level(request.effort)
    tier = call.adapter.service_tier if call.adapter is not None else None
    decoder = Decoder(call.message, request.grammar_inputs, requested_tier=tier)
    name = "OpenAI" if call.model.provider == "openai" else call.model.provider

    def error_text(refusal: Refusal) -> str:
        return refusal_text(refusal, name)

    response = await exchange(
        call,
        stack,
        url=join_url(call.model.base_url or OPENAI_BASE_URL, "responses"),
        headers=request.headers,
        body=request.body,
        error_text=error_text,
    )
    return response, decoder
