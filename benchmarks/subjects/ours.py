"""pi_ai.stream, every event looked at, the final message built."""

import base64
import json

from harness import Consume, Job, Tally, measure

from pi_ai import Context, UserMessage, model_from_url, stream

_APIS = {
    "anthropic": "anthropic-messages",
    "openai": "openai-completions",
    "responses": "openai-responses",
    "codex": "openai-codex-responses",
}


def _token() -> str:
    """A token of the form that Codex wants, for no account that exists."""
    claims = {"https://api.openai.com/auth": {"chatgpt_account_id": "benchmark"}}
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode()}.e30"


def prepare(job: Job) -> Consume:
    """The model of this job's wire."""
    base_url = f"{job.url}/v1" if job.wire in ("openai", "responses") else job.url
    model = model_from_url(base_url, "benchmark", api=_APIS[job.wire])
    key = _token() if job.wire == "codex" else "key"

    async def consume(prompt: str) -> Tally:
        seen = 0
        async with stream(model, Context([UserMessage(prompt)]), api_key=key) as events:
            async for event in events:
                if event.type:
                    seen += 1
            message = await events.result()
        if message.error_message:
            raise RuntimeError(message.error_message)
        if message.diagnostics:
            raise RuntimeError("the WebSocket failed, and HTTP was measured instead")
        return Tally(seen)

    return consume


if __name__ == "__main__":
    measure(prepare)
