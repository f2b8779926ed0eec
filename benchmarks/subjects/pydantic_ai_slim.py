"""`pydantic-ai-slim`, a direct model request without an agent."""

from harness import Consume, Job, Tally, measure
from pydantic_ai import ModelRequest
from pydantic_ai.direct import model_request_stream
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider


def prepare(job: Job) -> Consume:
    """One model with its provider."""
    model: Model
    if job.wire == "anthropic":
        model = AnthropicModel(
            "benchmark", provider=AnthropicProvider(base_url=job.url, api_key="key")
        )
    else:
        kind = OpenAIResponsesModel if job.wire == "responses" else OpenAIChatModel
        model = kind("benchmark", provider=OpenAIProvider(base_url=f"{job.url}/v1", api_key="key"))

    async def consume(prompt: str) -> Tally:
        seen = 0
        messages = [ModelRequest.user_text_prompt(prompt)]
        async with model_request_stream(model, messages) as events:
            async for _ in events:
                seen += 1
            events.get()
        return Tally(seen)

    return consume


if __name__ == "__main__":
    measure(prepare)
