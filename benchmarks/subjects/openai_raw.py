"""The official `openai` SDK, its raw chunks and events: nothing is accumulated."""

from harness import Consume, Job, Tally, measure
from openai import AsyncOpenAI


def prepare(job: Job) -> Consume:
    """One client."""
    client = AsyncOpenAI(base_url=f"{job.url}/v1", api_key="key", max_retries=0)

    async def consume(prompt: str) -> Tally:
        seen = 0
        async with await client.chat.completions.create(
            model="benchmark", messages=[{"role": "user", "content": prompt}], stream=True
        ) as chunks:
            async for _ in chunks:
                seen += 1
        return Tally(seen)

    async def consume_responses(prompt: str) -> Tally:
        seen = 0
        async with await client.responses.create(
            model="benchmark", input=prompt, stream=True
        ) as events:
            async for _ in events:
                seen += 1
        return Tally(seen)

    return consume_responses if job.wire == "responses" else consume


if __name__ == "__main__":
    measure(prepare)
