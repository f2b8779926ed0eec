"""Ask an OpenAI model at half the price, later at double; a scripted server stands in."""

from __future__ import annotations

import asyncio

from pi_ai import AssistantMessage, Context, Model, Usage, UserMessage, complete
from pi_ai.api.openai_responses import ResponsesOptions
from pi_ai.models import default_models
from pi_ai.testing import ScriptedServer, faux_message


def answer(text: str) -> AssistantMessage:
    message = faux_message(text)
    message.usage = Usage(input=1_000_000, output=100_000)
    return message


async def ask(model: Model, tier: str) -> None:
    context = Context([UserMessage("Summarize the minutes.")], system_prompt="Be brief.")
    options = ResponsesOptions(reasoning_effort="low", service_tier=tier)
    message = await complete(model, context, adapter=options, session_id="minutes")
    print(f"{tier}: {message.text} ${message.usage.cost.total:.2f}")


async def main() -> None:
    async with ScriptedServer([answer("They agreed."), answer("At once.")]) as server:
        model = server.model("openai-responses")
        await ask(model, "flex")
        await ask(model, "priority")
        print("thinking:", server.requests[0]["reasoning"]["effort"])
        await default_models.aclose()


if __name__ == "__main__":
    asyncio.run(main())
