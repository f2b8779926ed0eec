"""The official `anthropic` SDK, its raw events: nothing is accumulated."""

from anthropic import AsyncAnthropic
from harness import Consume, Job, Tally, measure


def prepare(job: Job) -> Consume:
    """One client."""
    client = AsyncAnthropic(base_url=job.url, api_key="key", max_retries=0)

    async def consume(prompt: str) -> Tally:
        seen = 0
        async with await client.messages.create(
            model="benchmark",
            max_tokens=1000,
            messages=[{"role": "user", "content": prompt}],
            stream=True,
        ) as events:
            async for _ in events:
                seen += 1
        return Tally(seen)

    return consume


if __name__ == "__main__":
    measure(prepare)
