"""The PyPI package `pi-ai-python`, whose import name is `pi_ai` too: never run it with ours."""

from harness import Consume, Job, Tally, measure
from pi_ai.api.registry import (
    anthropic_messages_api,
    openai_completions_api,
    openai_responses_api,
)
from pi_ai.auth.helpers import env_api_key_auth

from pi_ai import Context, Model, UserMessage, create_models, create_provider
from pi_ai.auth.types import ProviderAuth

_APIS = {
    "anthropic": ("anthropic-messages", anthropic_messages_api),
    "openai": ("openai-completions", openai_completions_api),
    "responses": ("openai-responses", openai_responses_api),
}


def prepare(job: Job) -> Consume:
    """A collection of models with one provider."""
    api, load = _APIS[job.wire]
    model = Model(
        id="benchmark",
        api=api,
        provider="benchmark",
        base_url=job.url if job.wire == "anthropic" else f"{job.url}/v1",
    )
    models = create_models()
    models.set_provider(
        create_provider(
            id="benchmark",
            name="Benchmark",
            auth=ProviderAuth(api_key=env_api_key_auth("Key", ["BENCHMARK_API_KEY"])),
            models=[model],
            api=load(),
        )
    )

    async def consume(prompt: str) -> Tally:
        seen = 0
        events = models.stream(model, Context(messages=[UserMessage(prompt)]), api_key="key")
        async for _ in events:
            seen += 1
        message = await events.result()
        if message.error_message:
            raise RuntimeError(message.error_message)
        return Tally(seen)

    return consume


if __name__ == "__main__":
    measure(prepare)
