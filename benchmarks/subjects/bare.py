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


class _ResponsesEvent(Struct):
    type: str
    output_index: int = 0
    delta: str | None = None


_WIRES = {
    "anthropic": ("messages", _AnthropicEvent),
    "openai": ("chat/completions", _Chunk),
    "responses": ("responses", _ResponsesEvent),
    "codex": ("responses", _ResponsesEvent),
}


def prepare(job: Job) -> Consume:
    """One session, one decoder."""
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    path, kind = _WIRES[job.wire]
    url = f"{job.url}/v1/{path}"
    decode = msgspec.json.Decoder(kind).decode

    async def converse(prompt: str) -> Tally:
        seen = 0
        async with session.ws_connect(url, max_msg_size=0) as socket:
            await socket.send_str(msgspec.json.encode({"input": prompt}).decode())
            while True:
                event = decode(await socket.receive_str())
                seen += 1
                if event.type == "response.completed":
                    return Tally(seen)

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

    return converse if job.wire == "codex" else consume


if __name__ == "__main__":
    measure(prepare)
