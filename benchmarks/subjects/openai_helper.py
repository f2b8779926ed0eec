"""The official `openai` SDK, its stream helpers, which accumulate completion or response."""

from harness import Consume, Job, Tally, measure
from openai import AsyncOpenAI


def prepare(job: Job) -> Consume:
    """One client."""
    client = AsyncOpenAI(base_url=f"{job.url}/v1", api_key="key", max_retries=0)

    async def consume(prompt: str) -> Tally:
        seen = 0
        async with client.chat.completions.stream(
            model="benchmark", messages=[{"role": "user", "content": prompt}]
        ) as events:
            async for event in events:
                if event.type == "chunk":  # the helper adds its own events to every chunk
                    seen += 1
            await events.get_final_completion()
        return Tally(seen)

    async def consume_responses(prompt: str) -> Tally:
        seen = 0
        async with client.responses.stream(model="benchmark", input=prompt) as events:
            async for _ in events:
                seen += 1
            await events.get_final_response()
        return Tally(seen)

    return consume_responses if job.wire == "responses" else consume


if __name__ == "__main__":
    measure(prepare)
