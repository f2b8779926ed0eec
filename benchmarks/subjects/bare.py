"""The floor: aiohttp, lines split by hand, each event decoded into a msgspec struct. No message."""

import aiohttp
import msgspec
from harness import Consume, Job, Tally, measure
from msgspec import Struct


class _AnthropicDelta(Struct):
    type: str = ""
    text: str = ""
    partial_json: str = ""


class _AnthropicEvent(Struct):
    type: str
    index: int = 0
    delta: _AnthropicDelta | None = None


class _OpenAIDelta(Struct):
    content: str | None = None
    tool_calls: list[msgspec.Raw] | None = None


class _Choice(Struct):
    delta: _OpenAIDelta
    finish_reason: str | None = None


class _Chunk(Struct):
    choices: list[_Choice]


def prepare(job: Job) -> Consume:
    """One session, one decoder."""
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    anthropic = job.wire == "anthropic"
    url = f"{job.url}/v1/messages" if anthropic else f"{job.url}/v1/chat/completions"
    decode = msgspec.json.Decoder(_AnthropicEvent if anthropic else _Chunk).decode

    async def consume(prompt: str) -> Tally:
        seen = reads = 0
        body = {"stream": True, "messages": [{"role": "user", "content": prompt}]}
        async with session.post(url, json=body) as response:
            rest = b""
            while chunk := await response.content.readany():
                reads += 1
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if line.startswith(b"data: ") and line != b"data: [DONE]":
                        decode(line[6:])
                        seen += 1
        return Tally(seen, reads)

    return consume


if __name__ == "__main__":
    measure(prepare)
