"""pi_ai.stream, every event looked at, the final message built."""

from harness import Consume, Job, Tally, measure

from pi_ai import Context, UserMessage, model_from_url, stream


def prepare(job: Job) -> Consume:
    """The model of this job's wire."""
    anthropic = job.wire == "anthropic"
    base_url = job.url if anthropic else f"{job.url}/v1"
    api = "anthropic-messages" if anthropic else "openai-completions"
    model = model_from_url(base_url, "benchmark", api=api)

    async def consume(prompt: str) -> Tally:
        seen = 0
        async with stream(model, Context([UserMessage(prompt)]), api_key="key") as events:
            async for event in events:
                if event.type:
                    seen += 1
            message = await events.result()
        if message.error_message:
            raise RuntimeError(message.error_message)
        return Tally(seen)

    return consume


if __name__ == "__main__":
    measure(prepare)
