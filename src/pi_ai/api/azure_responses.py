"""The adapter for the Responses API of Azure OpenAI.

Source: spec of openai-responses, section 10;
https://learn.microsoft.com/azure/ai-foundry/openai/how-to/responses.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, aclosing

from pi_ai.api._azure_request import (
    AzureOptions,
    azure_url,
    build_body,
    build_headers,
    deployment_name,
)
from pi_ai.api._exchange import Exchange, Refusal, decoded, exchange
from pi_ai.api._options import require_adapter_options, require_credentials
from pi_ai.api._responses_decoder import Decoder
from pi_ai.api._responses_errors import refusal_text
from pi_ai.provider import Call
from pi_ai.stream import EventBatches

__all__ = ("AzureOptions", "stream")


async def stream(call: Call[AzureOptions]) -> EventBatches:
    """One request over `azure-openai-responses`. See `pi_ai.provider.Adapter`."""
    require_adapter_options(call, AzureOptions)
    require_credentials(call)
    async with AsyncExitStack() as stack:
        response, decoder = await _open(call, stack)
        yield [call.message.start()]
        async with aclosing(decoded(call, response, decoder)) as batches:
            async for events in batches:
                yield events
    decoder.close()


async def _open(call: Call[AzureOptions], stack: AsyncExitStack) -> tuple[Exchange, Decoder]:
    """Send the request; gives the accepted response and what reads it."""
    places = call.adapter or AzureOptions()
    url = azure_url(call.model, places, call.env)
    body, grammar_inputs = build_body(
        call.model,
        call.messages,
        call.options,
        call.adapter,
        deployment=deployment_name(call.model, places, call.env),
    )
    headers = build_headers(call.model, call.options, api_key=call.api_key, extra=call.headers)
    response = await exchange(
        call, stack, url=url, headers=headers, body=body, error_text=_error_text
    )
    return response, Decoder(call.message, grammar_inputs, prices_tiers=False)


def _error_text(refusal: Refusal) -> str:
    return refusal_text(refusal, "Azure OpenAI")
