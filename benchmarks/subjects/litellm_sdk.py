"""`litellm.acompletion`, its normalised chunks."""

import litellm
from harness import Consume, Job, Tally, measure


def prepare(job: Job) -> Consume:
    """A module-level function; it keeps its clients itself."""
    anthropic = job.wire == "anthropic"
    model = "anthropic/benchmark" if anthropic else "openai/benchmark"
    base_url = job.url if anthropic else f"{job.url}/v1"

    async def consume(prompt: str) -> Tally:
        seen = 0
        chunks = await litellm.acompletion(
            model=model,
            api_base=base_url,
            api_key="key",
            messages=[{"role": "user", "content": prompt}],
            stream=True,
        )
        async for _ in chunks:
            seen += 1
        return Tally(seen)

    return consume


if __name__ == "__main__":
    measure(prepare)
