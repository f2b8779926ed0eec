"""What a response costs: the servers' usage records, through the real adapters, to the last token.

Every cost is written out by hand: tokens times USD per million tokens, in the order input, output,
cache reads, cache writes.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from pi_ai import (
    AssistantMessage,
    Cost,
    Model,
    ModelCost,
    Models,
    Usage,
    get_model,
    model_from_url,
)
from support import exchanges as x
from support.transports import CannedTransport

GPT = replace(x.M, base_url="https://server.test/v1")  # 1, 2, 0.1 and 1.25 USD
CLAUDE = replace(x.C, base_url="https://server.test")  # 3, 15, 0.3 and 3.75 USD
GPT_55 = get_model("openrouter", "openai/gpt-5.5")  # 5, 30, 0.5, 0; 10, 45, 1, 0 above 272,000
QWEN = get_model("openrouter", "qwen/qwen3.7-flash")  # three prices
HAIKU = get_model("anthropic", "claude-haiku-5-5")  # 0.1, 0.5, 0.01, 0.125; 5 x above 100,000
FREE = replace(CLAUDE, cost=ModelCost())
LOCAL = model_from_url("http://127.0.0.1:1/v1", "llama")
BY_URL = replace(GPT, base_url="https://openrouter.ai/api/v1")
BY_NAME = replace(CLAUDE, provider="openrouter")


class Tokens(NamedTuple):
    """Counts of a usage, in the order of its fields."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int | None = None
    reasoning: int | None = None

    @property
    def total(self) -> int:
        return self.input + self.output + self.cache_read + self.cache_write


def ask(model: Model, *pieces: bytes) -> AssistantMessage:
    """The message made of a stream."""
    models = Models(transport=CannedTransport(*pieces))
    return asyncio.run(models.complete(model, x.HI, api_key="k"))


def check(
    usage: Usage,
    tokens: Tokens,
    micro_usd: tuple[float, ...],
    billed: Any = None,
    *,
    unpriced: bool = False,
) -> None:
    """`micro_usd`: the four parts in millionths of a dollar; `billed`: the total by the server."""
    assert usage == Usage(*tokens, tokens.total, cost=usage.cost)
    parts = [part / 1e6 for part in micro_usd]
    total = sum(parts) if billed is None else billed
    near = [pytest.approx(amount, rel=0, abs=1e-9) for amount in (*parts, total)]
    assert usage.cost == Cost(
        *near, total_from_provider=billed is not None, unpriced=unpriced or None
    )


def case(model: Model, told: Any, tokens: Tokens, *micro_usd: float, id: str, **more: Any) -> Any:
    return pytest.param(model, told, tokens, micro_usd, more.get("billed"), id=id)


# --- Chat Completions ---------------------------------------------------------------------------


def prompt(tokens: Any, output: Any = 0, **details: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"prompt_tokens": tokens, "completion_tokens": output}
    return told | ({"prompt_tokens_details": details} if details else {})


HIT = "prompt_cache_hit_tokens"
BYOK = {"upstream_inference_prompt_cost": 1, "upstream_inference_completions_cost": 2}
PLAIN = Tokens(1000, 500, reasoning=0)
PLAIN_USD = (1000 * 1, 500 * 2, 0, 0)


def bill(**fields: Any) -> dict[str, Any]:
    return prompt(1000, 500) | fields


COMPLETIONS = [
    case(GPT, prompt(100, 20), Tokens(100, 20, reasoning=0), 100 * 1, 20 * 2, 0, 0, id="plain"),
    case(GPT, prompt(100, 20, cached_tokens=30), Tokens(70, 20, 30, reasoning=0),
         70 * 1, 20 * 2, 30 * 0.1, 0, id="cached"),
    case(GPT, prompt(100, 20, cached_tokens=100), Tokens(0, 20, 100, reasoning=0),
         0, 20 * 2, 100 * 0.1, 0, id="all-cached"),
    case(GPT, prompt(100, 20, cached_tokens=30, cache_write_tokens=10),
         Tokens(60, 20, 30, 10, reasoning=0), 60 * 1, 20 * 2, 30 * 0.1, 10 * 1.25,
         id="read-and-written"),
    case(GPT, prompt(100, 20, cache_write_tokens=100), Tokens(0, 20, 0, 100, reasoning=0),
         0, 20 * 2, 0, 100 * 1.25, id="all-written"),
    case(GPT, prompt(100, 20) | {"completion_tokens_details": {"reasoning_tokens": 15}},
         Tokens(100, 20, reasoning=15), 100 * 1, 20 * 2, 0, 0, id="reasoning-is-output"),
    case(GPT, prompt(100, 20) | {"completion_tokens_details": {"reasoning_tokens": None}},
         Tokens(100, 20, reasoning=0), 100 * 1, 20 * 2, 0, 0, id="null-reasoning"),
    case(GPT, prompt(10, 2) | {HIT: 4}, Tokens(6, 2, 4, reasoning=0),
         6 * 1, 2 * 2, 4 * 0.1, 0, id="cache-hit-field"),
    case(GPT, prompt(10, 2) | {"cached_tokens": 4}, Tokens(6, 2, 4, reasoning=0),
         6 * 1, 2 * 2, 4 * 0.1, 0, id="cached-field"),
    case(GPT, prompt(10, 2, cached_tokens=3) | {HIT: 4, "cached_tokens": 5},
         Tokens(7, 2, 3, reasoning=0), 7 * 1, 2 * 2, 3 * 0.1, 0, id="details-before-fields"),
    case(GPT, prompt(10, 2, cached_tokens=0) | {HIT: 4}, Tokens(10, 2, 0, reasoning=0),
         10 * 1, 2 * 2, 0, 0, id="zero-is-told"),
    case(GPT, prompt(10, 2, cached_tokens=None) | {HIT: 4}, Tokens(6, 2, 4, reasoning=0),
         6 * 1, 2 * 2, 4 * 0.1, 0, id="null-is-not-told"),
    case(GPT, prompt(10, 2, cached_tokens=30), Tokens(0, 2, 30, reasoning=0),
         0, 2 * 2, 30 * 0.1, 0, id="more-cached-than-prompt"),
    case(GPT, prompt(10, 2, cached_tokens=8, cache_write_tokens=8), Tokens(0, 2, 8, 8, reasoning=0),
         0, 2 * 2, 8 * 0.1, 8 * 1.25, id="more-cached-and-written-than-prompt"),
    case(GPT, prompt(0, 0), Tokens(reasoning=0), 0, 0, 0, 0, id="zero"),
    case(GPT, {}, Tokens(reasoning=0), 0, 0, 0, 0, id="empty"),
    case(GPT, prompt(None, None) | {"prompt_tokens_details": None}, Tokens(reasoning=0),
         0, 0, 0, 0, id="nulls"),
    case(GPT, prompt("many", 2), Tokens(0, 2, reasoning=0), 0, 2 * 2, 0, 0, id="text-for-a-number"),
    case(GPT, prompt(-10, -2, cached_tokens=-3, cache_write_tokens=-4), Tokens(reasoning=0),
         0, 0, 0, 0, id="negative"),
    case(GPT, prompt(10, 2, cached_tokens=-3) | {"completion_tokens_details":
         {"reasoning_tokens": -1}}, Tokens(10, 2, reasoning=0), 10 * 1, 2 * 2, 0, 0,
         id="negative-parts-take-nothing-away"),
    case(GPT, prompt(10, 2) | {"total_tokens": 999}, Tokens(10, 2, reasoning=0),
         10 * 1, 2 * 2, 0, 0, id="total-of-the-server"),
    case(GPT, prompt(10, 2) | {"cost": 9, "is_byok": False}, Tokens(10, 2, reasoning=0),
         10 * 1, 2 * 2, 0, 0, id="bill-of-a-stranger"),
    case(LOCAL, prompt(100, 20, cached_tokens=30), Tokens(70, 20, 30, reasoning=0),
         0, 0, 0, 0, id="unknown-price"),
    # --- long contexts
    case(GPT_55, prompt(272_000, 10), Tokens(272_000, 10, reasoning=0),
         272_000 * 5, 10 * 30, 0, 0, id="gpt-at-the-threshold"),
    case(GPT_55, prompt(272_001, 10), Tokens(272_001, 10, reasoning=0),
         272_001 * 10, 10 * 45, 0, 0, id="gpt-above-the-threshold"),
    case(GPT_55, prompt(272_001, 10, cached_tokens=272_000), Tokens(1, 10, 272_000, reasoning=0),
         1 * 10, 10 * 45, 272_000 * 1, 0, id="gpt-cached-counts"),
    case(GPT_55, prompt(1, 500_000), Tokens(1, 500_000, reasoning=0),
         1 * 5, 500_000 * 30, 0, 0, id="gpt-output-does-not-count"),
    case(QWEN, prompt(32_000, 1000), Tokens(32_000, 1000, reasoning=0),
         32_000 * 0.03, 1000 * 0.13, 0, 0, id="qwen-base"),
    case(QWEN, prompt(32_001, 1000, cached_tokens=1000, cache_write_tokens=1000),
         Tokens(30_001, 1000, 1000, 1000, reasoning=0),
         30_001 * 0.1, 1000 * 0.4, 1000 * 0.02, 1000 * 0.125, id="qwen-middle"),
    case(QWEN, prompt(256_000, 1000), Tokens(256_000, 1000, reasoning=0),
         256_000 * 0.1, 1000 * 0.4, 0, 0, id="qwen-middle-at-its-end"),
    case(QWEN, prompt(256_001, 1000, cached_tokens=1), Tokens(256_000, 1000, 1, reasoning=0),
         256_000 * 0.2, 1000 * 0.8, 1 * 0.04, 0, id="qwen-top"),
    # --- bills
    case(BY_URL, bill(cost=0.5, is_byok=False), PLAIN, *PLAIN_USD, billed=0.5, id="billed"),
    case(BY_URL, bill(cost=0, is_byok=False), PLAIN, *PLAIN_USD, billed=0, id="billed-nothing"),
    case(BY_URL, bill(cost=0.01, is_byok=True, cost_details={"upstream_inference_cost": 0.2}),
         PLAIN, *PLAIN_USD, billed=0.01 + 0.2, id="own-key"),
    case(BY_URL, bill(cost=0.05, is_byok=True,
                      cost_details={"upstream_inference_cost": None, **BYOK}),
         PLAIN, *PLAIN_USD, billed=0.05 + 1 + 2, id="own-key-in-parts"),
    case(BY_URL, bill(cost=0.05, is_byok=True), PLAIN, *PLAIN_USD, id="own-key-without-details"),
    case(BY_URL, bill(cost=0.5), PLAIN, *PLAIN_USD, id="bill-without-a-word-on-the-key"),
    case(BY_URL, bill(cost=None, is_byok=False), PLAIN, *PLAIN_USD, id="null-bill"),
    case(BY_URL, bill(cost=-1, is_byok=False), PLAIN, *PLAIN_USD, id="negative-bill"),
    case(BY_URL, bill(cost="0.5", is_byok=False), PLAIN, *PLAIN_USD, id="bill-as-text"),
    case(GPT_55, prompt(300_000, 1000) | {"cost": 1.25, "is_byok": False},
         Tokens(300_000, 1000, reasoning=0), 300_000 * 10, 1000 * 45, 0, 0, billed=1.25,
         id="billed-long-context"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "told", "tokens", "micro_usd", "billed"), COMPLETIONS)
def test_completions_usage_is_counted_and_priced(
    model: Model, told: Any, tokens: Tokens, micro_usd: Any, billed: Any
) -> None:
    last = x.chunk(usage=told)
    message = ask(model, x.chunk({"content": "hi"}), x.chunk({}, "stop"), last, x.DONE)
    assert message.error_message is None
    check(message.usage, tokens, micro_usd, billed, unpriced=model in (LOCAL, FREE))


SMALL, LARGE = prompt(100, 20, cached_tokens=30), prompt(200, 50)
SMALL_TOKENS, SMALL_USD = Tokens(70, 20, 30, reasoning=0), (70 * 1, 20 * 2, 30 * 0.1, 0)
LARGE_TOKENS, LARGE_USD = Tokens(200, 50, reasoning=0), (200 * 1, 50 * 2, 0, 0)
TEXT, END = x.chunk({"content": "hi"}), x.chunk({}, "stop")


def choice(told: Any, **fields: Any) -> bytes:
    """A chunk with the usage inside its choice."""
    one = {"index": 0, "delta": {}, "finish_reason": "stop", "usage": told}
    return x.data({"id": "1", "model": "m", "choices": [one], **fields})


PLACES = [
    pytest.param([x.chunk({"content": "hi"}, usage=SMALL), END], SMALL_TOKENS, SMALL_USD,
                 id="first-chunk"),
    pytest.param([x.chunk(usage=SMALL), TEXT, END], SMALL_TOKENS, SMALL_USD, id="before-the-text"),
    pytest.param([TEXT, x.chunk({}, "stop", usage=SMALL)], SMALL_TOKENS, SMALL_USD,
                 id="with-the-finish"),
    pytest.param([TEXT, END, x.chunk(usage=SMALL)], SMALL_TOKENS, SMALL_USD, id="last-chunk"),
    pytest.param([TEXT, choice(SMALL)], SMALL_TOKENS, SMALL_USD, id="in-the-choice"),
    pytest.param([TEXT, choice(SMALL, usage=LARGE)], LARGE_TOKENS, LARGE_USD,
                 id="chunk-before-choice"),
    pytest.param([TEXT, choice(SMALL, usage=None)], SMALL_TOKENS, SMALL_USD,
                 id="choice-behind-null"),
    pytest.param([x.chunk({"content": "hi"}, usage=SMALL), END, x.chunk(usage=LARGE)],
                 LARGE_TOKENS, LARGE_USD, id="last-of-two"),
    pytest.param([x.chunk({"content": "hi"}, usage=LARGE), END, x.chunk(usage=SMALL)],
                 SMALL_TOKENS, SMALL_USD, id="last-of-two-though-smaller"),
    pytest.param([x.chunk({"content": "h"}, usage=prompt(100, n), index=n) for n in range(20)]
                 + [END, x.chunk(usage=LARGE)], LARGE_TOKENS, LARGE_USD, id="every-chunk"),
    pytest.param([x.chunk({"content": "hi"}, usage=SMALL), x.chunk({}, "stop", usage=None)],
                 SMALL_TOKENS, SMALL_USD, id="null-takes-nothing-back"),
    pytest.param([TEXT, END, x.chunk(usage=SMALL), x.DONE, x.chunk(usage=LARGE)],
                 SMALL_TOKENS, SMALL_USD, id="nothing-counts-behind-the-end"),
]  # fmt: skip


@pytest.mark.parametrize(("pieces", "tokens", "micro_usd"), PLACES)
def test_completions_usage_counts_wherever_it_stands(
    pieces: list[bytes], tokens: Tokens, micro_usd: Any
) -> None:
    check(ask(GPT, *pieces, x.DONE).usage, tokens, micro_usd)


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([TEXT, END], id="missing"),
        pytest.param([x.chunk({"content": "hi"}, usage=None), END], id="null"),
        pytest.param([TEXT, choice(None)], id="null-in-the-choice"),
    ],
)
def test_completions_without_usage_claim_no_count(pieces: list[bytes]) -> None:
    message = ask(GPT, *pieces, x.DONE)
    assert message.stop_reason == "stop"
    assert message.usage == Usage()
    assert message.usage.cost.total_from_provider is None


@pytest.mark.parametrize(
    "ending",
    [
        pytest.param(x.data({"error": {"message": "boom"}}), id="error"),
        pytest.param(x.chunk({}, "content_filter"), id="filtered"),
        pytest.param(b"", id="cut"),
    ],
)
def test_a_failed_completion_keeps_what_it_cost(ending: bytes) -> None:
    message = ask(GPT, x.chunk({"content": "hi"}, usage=SMALL), ending)
    assert message.stop_reason == "error"
    check(message.usage, SMALL_TOKENS, SMALL_USD)


def test_completions_count_may_be_written_as_a_float() -> None:
    told = x.chunk(usage=prompt(100.0, 20.0, cached_tokens=30.0))
    check(ask(GPT, TEXT, END, told, x.DONE).usage, SMALL_TOKENS, SMALL_USD)


@pytest.mark.parametrize("count", [b"100.5", b"1e300", b"1e16", b"true"])
def test_what_is_no_count_is_no_count(count: bytes) -> None:
    told = x.chunk(usage=prompt(12345, 20)).replace(b"12345", count)
    check(ask(GPT, TEXT, END, told, x.DONE).usage, Tokens(0, 20, reasoning=0), (0, 20 * 2, 0, 0))


def test_anthropic_count_may_be_written_as_a_float() -> None:
    check(ask(CLAUDE, stream(count(100.0, 1), count(output=50.0))).usage, SHORT, SHORT_USD)


# --- Responses ----------------------------------------------------------------------------------

O_MODEL = replace(x.R, base_url="https://server.test/v1")  # 2, 8, 0.5 and 1 USD


def counted(told: Any, output: Any = 0, **details: Any) -> dict[str, Any]:
    return {
        "input_tokens": told,
        "output_tokens": output,
        "input_tokens_details": details,
        "output_tokens_details": {"reasoning_tokens": 5},
    }


RESPONSES = [
    case(O_MODEL, counted(100, 20), Tokens(100, 20, reasoning=5), 100 * 2, 20 * 8, 0, 0,
         id="plain"),
    case(O_MODEL, counted(100, 20, cached_tokens=30, cache_write_tokens=10),
         Tokens(60, 20, 30, 10, reasoning=5), 60 * 2, 20 * 8, 30 * 0.5, 10 * 1,
         id="read-and-written"),
    case(O_MODEL, counted(100, 20, cached_tokens=200), Tokens(0, 20, 200, reasoning=5),
         0, 20 * 8, 200 * 0.5, 0, id="more-cached-than-there-is"),
    case(O_MODEL, counted(-5, -5, cached_tokens=-1), Tokens(reasoning=5), 0, 0, 0, 0,
         id="negative"),
    case(O_MODEL, {"input_tokens": 10.0, "output_tokens": "x"}, Tokens(10, reasoning=0),
         10 * 2, 0, 0, 0, id="numbers-of-other-kinds"),
    case(O_MODEL, {}, Tokens(reasoning=0), 0, 0, 0, 0, id="empty"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "told", "tokens", "micro_usd", "billed"), RESPONSES)
def test_responses_usage_is_counted_and_priced(
    model: Model, told: Any, tokens: Tokens, micro_usd: Any, billed: Any
) -> None:
    message = ask(model, x.responses_text("hi"), x.responses_end(usage=told))
    assert message.error_message is None
    check(message.usage, tokens, micro_usd, billed)


@pytest.mark.parametrize(
    "ending",
    [
        pytest.param(x.event("response.failed", response={"usage": counted(100)}), id="failed"),
        pytest.param(
            x.responses_end(
                "incomplete", usage=counted(100), incomplete_details={"reason": "content_filter"}
            ),
            id="filtered",
        ),
    ],
)
def test_a_failed_response_keeps_what_it_cost(ending: bytes) -> None:
    message = ask(O_MODEL, x.responses_text("hi"), ending)
    assert message.stop_reason == "error"
    check(message.usage, Tokens(100, reasoning=5), (100 * 2, 0, 0, 0))


# --- Anthropic Messages -------------------------------------------------------------------------


def stream(start: Any, delta: Any = None) -> bytes:
    """A whole answer; `delta` is the usage at its end."""
    end = x.record("message_delta", delta={"stop_reason": "end_turn"}, usage=delta)
    message = {"id": "msg_1", "model": "", "usage": start}
    return x.record("message_start", message=message) + end + x.record("message_stop")


def count(input: Any = None, output: Any = None, **fields: Any) -> dict[str, Any]:
    told = {"input_tokens": input, "output_tokens": output, **fields}
    return {name: value for name, value in told.items() if value is not None}


def cached(read: Any = None, write: Any = None, hour: Any = None) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if read is not None:
        told["cache_read_input_tokens"] = read
    if write is not None:
        told["cache_creation_input_tokens"] = write
    if hour is not None:
        told["cache_creation"] = {
            "ephemeral_5m_input_tokens": (write or 0) - hour,
            "ephemeral_1h_input_tokens": hour,
        }
    return told


THINK = {"output_tokens_details": {"thinking_tokens": 7}}
SHORT = Tokens(100, 50, 0, 0, 0)
SHORT_USD = (100 * 3, 50 * 15, 0, 0)

ANTHROPIC = [
    case(CLAUDE, (count(100, 50), None), SHORT, *SHORT_USD, id="start-alone"),
    case(CLAUDE, (count(100, 1), count(output=50)), SHORT, *SHORT_USD, id="output-at-the-end"),
    case(CLAUDE, (count(1, 1), count(100, 50)), SHORT, *SHORT_USD, id="all-at-the-end"),
    case(CLAUDE, (count(100, 1), count(output=50) | {"input_tokens": None}), SHORT, *SHORT_USD,
         id="null-changes-nothing"),
    case(CLAUDE, (count(100, 50), {"output_tokens": None}), SHORT, *SHORT_USD,
         id="null-output-changes-nothing"),
    case(CLAUDE, (count(100, 50), count(0, 0)), Tokens(0, 0, 0, 0, 0), 0, 0, 0, 0,
         id="zero-changes-all"),
    case(CLAUDE, (count(100, 1), count(output=50, **THINK)), Tokens(100, 50, 0, 0, 0, 7),
         100 * 3, 50 * 15, 0, 0, id="thinking-is-output"),
    case(CLAUDE, (count(100, 1) | cached(20), count(output=50)), Tokens(100, 50, 20, 0, 0),
         100 * 3, 50 * 15, 20 * 0.3, 0, id="read"),
    case(CLAUDE, (count(100, 1) | cached(0, 30), count(output=50)), Tokens(100, 50, 0, 30, 0),
         100 * 3, 50 * 15, 0, 30 * 3.75, id="written-for-minutes"),
    case(CLAUDE, (count(100, 1) | cached(0, 30, 0), count(output=50)), Tokens(100, 50, 0, 30, 0),
         100 * 3, 50 * 15, 0, 30 * 3.75, id="written-for-minutes-in-detail"),
    case(CLAUDE, (count(100, 1) | cached(0, 30, 30), count(output=50)),
         Tokens(100, 50, 0, 30, 30), 100 * 3, 50 * 15, 0, 30 * 2 * 3, id="written-for-an-hour"),
    case(CLAUDE, (count(100, 1) | cached(20, 30, 20), count(output=50, **THINK)),
         Tokens(100, 50, 20, 30, 20, 7), 100 * 3, 50 * 15, 20 * 0.3, 10 * 3.75 + 20 * 2 * 3,
         id="read-and-written-for-both"),
    case(CLAUDE, (count(100, 1) | {"cache_creation": None} | cached(0, 30), count(output=50)),
         Tokens(100, 50, 0, 30, 0), 100 * 3, 50 * 15, 0, 30 * 3.75, id="null-detail"),
    case(CLAUDE, (count(100, 1) | cached(20, 30, 20), count(output=9) | cached(0)),
         Tokens(100, 9, 0, 30, 20), 100 * 3, 9 * 15, 0, 10 * 3.75 + 20 * 2 * 3,
         id="cache-corrected-at-the-end"),
    case(CLAUDE, (count(100, 1) | cached(20, 30), count(output=50) | cached(0, 0)),
         SHORT, *SHORT_USD, id="cache-corrected-to-nothing"),
    case(CLAUDE, (count(100, 1), count(output=50) | cached(20, 30, 20)),
         Tokens(100, 50, 20, 30, 20), 100 * 3, 50 * 15, 20 * 0.3, 10 * 3.75 + 20 * 2 * 3,
         id="cache-at-the-end"),
    case(CLAUDE, (count(0, 1) | cached(1_000_000), count(output=1)),
         Tokens(0, 1, 1_000_000, 0, 0), 0, 1 * 15, 1_000_000 * 0.3, 0, id="million-reads"),
    case(CLAUDE, (count(0, 0), count(output=0)), Tokens(0, 0, 0, 0, 0), 0, 0, 0, 0, id="zero"),
    case(CLAUDE, (None, None), Tokens(0, 0, 0, 0, 0), 0, 0, 0, 0, id="missing"),
    case(CLAUDE, (None, count(100, 50)), SHORT, *SHORT_USD, id="missing-at-the-start"),
    case(CLAUDE, ({}, {}), Tokens(0, 0, 0, 0, 0), 0, 0, 0, 0, id="empty"),
    case(CLAUDE, (count("100", 1), count(output=50)), Tokens(0, 50, 0, 0, 0),
         0, 50 * 15, 0, 0, id="text-for-a-number"),
    case(CLAUDE, (count(100, 1), count(output=50, cost=9, is_byok=False)), SHORT, *SHORT_USD,
         id="bill-of-a-stranger"),
    case(CLAUDE, (count(-100, 1) | cached(-20, -30, -20), count(output=-50)),
         Tokens(0, 0, 0, 0, 0), 0, 0, 0, 0, id="negative"),
    case(CLAUDE, (count(100, 1) | cached(-20, 30), count(output=50)), Tokens(100, 50, 0, 30, 0),
         100 * 3, 50 * 15, 0, 30 * 3.75, id="negative-part-takes-nothing-away"),
    case(CLAUDE, (count(100, 1) | cached(0, 30, 40), count(output=50)),
         Tokens(100, 50, 0, 30, 30), 100 * 3, 50 * 15, 0, 30 * 2 * 3,
         id="more-for-an-hour-than-written"),
    case(CLAUDE, (count(100, 1) | cached(0, 30, 30), count(output=50) | cached(0, 10)),
         Tokens(100, 50, 0, 10, 10), 100 * 3, 50 * 15, 0, 10 * 2 * 3,
         id="less-written-in-the-end-than-for-an-hour"),
    case(FREE, (count(100, 1) | cached(20, 30, 20), count(output=50)),
         Tokens(100, 50, 20, 30, 20), 0, 0, 0, 0, id="unknown-price"),
    # --- long contexts
    case(HAIKU, (count(100_000, 1), count(output=1000)), Tokens(100_000, 1000, 0, 0, 0),
         100_000 * 0.1, 1000 * 0.5, 0, 0, id="haiku-at-the-threshold"),
    case(HAIKU, (count(100_001, 1), count(output=1000)), Tokens(100_001, 1000, 0, 0, 0),
         100_001 * 0.5, 1000 * 2.5, 0, 0, id="haiku-above-the-threshold"),
    case(HAIKU, (count(1, 1) | cached(50_000, 50_000, 50_000), count(output=1000)),
         Tokens(1, 1000, 50_000, 50_000, 50_000),
         1 * 0.5, 1000 * 2.5, 50_000 * 0.05, 50_000 * 2 * 0.5, id="haiku-cache-counts"),
    case(HAIKU, (count(0, 1) | cached(50_000, 50_000, 20_000), count(output=1000)),
         Tokens(0, 1000, 50_000, 50_000, 20_000),
         0, 1000 * 0.5, 50_000 * 0.01, 30_000 * 0.125 + 20_000 * 2 * 0.1,
         id="haiku-cache-at-the-threshold"),
    case(HAIKU, (count(1, 1), count(output=200_000)), Tokens(1, 200_000, 0, 0, 0),
         1 * 0.1, 200_000 * 0.5, 0, 0, id="haiku-output-does-not-count"),
    # --- bills
    case(BY_NAME, (count(100, 1), count(output=50, cost=0.5, is_byok=False)), SHORT, *SHORT_USD,
         billed=0.5, id="billed"),
    case(BY_NAME, (count(100, 1), count(output=50, cost=0.05, is_byok=True,
                                        cost_details={"upstream_inference_cost": 2})),
         SHORT, *SHORT_USD, billed=0.05 + 2, id="own-key"),
    case(BY_NAME, (count(100, 1), count(output=50, cost=0.05, is_byok=True, cost_details=BYOK)),
         SHORT, *SHORT_USD, billed=0.05 + 1 + 2, id="own-key-in-parts"),
    case(BY_NAME, (count(100, 1), count(output=50, cost=0.5)), SHORT, *SHORT_USD,
         id="bill-without-a-word-on-the-key"),
    case(BY_NAME, (count(100, 1, cost=9, is_byok=False), count(output=50, cost=0.5, is_byok=False)),
         SHORT, *SHORT_USD, billed=0.5, id="last-bill"),
    case(BY_NAME, (count(100, 1, cost=0.5, is_byok=False), count(output=50)),
         SHORT, *SHORT_USD, billed=0.5, id="bill-at-the-start"),
    case(BY_NAME, (count(100, 1, cost=0.5, is_byok=False), None),
         Tokens(100, 1, 0, 0, 0), 100 * 3, 1 * 15, 0, 0, billed=0.5, id="bill-at-the-start-alone"),
    case(replace(BY_NAME, cost=ModelCost()),
         (count(100, 1, cost=0.5, is_byok=False), count(output=50)),
         SHORT, 0, 0, 0, 0, billed=0.5, id="billed-without-a-price"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "told", "tokens", "micro_usd", "billed"), ANTHROPIC)
def test_anthropic_usage_is_counted_and_priced(
    model: Model, told: Any, tokens: Tokens, micro_usd: Any, billed: Any
) -> None:
    message = ask(model, stream(*told))
    assert message.error_message is None
    check(message.usage, tokens, micro_usd, billed, unpriced=model in (LOCAL, FREE))


@pytest.mark.parametrize(
    "ending",
    [
        pytest.param(x.record("error", error={"type": "overloaded_error"}), id="error"),
        pytest.param(x.message_end("refusal", output_tokens=50), id="refusal"),
        pytest.param(b"", id="cut"),
    ],
)
def test_a_failed_answer_keeps_what_it_cost(ending: bytes) -> None:
    start = x.message_start(usage=count(100, 50) | cached(20, 30, 20))
    message = ask(CLAUDE, start, x.text_block("par"), ending)
    assert message.stop_reason == "error"
    check(
        message.usage,
        Tokens(100, 50, 20, 30, 20),
        (100 * 3, 50 * 15, 20 * 0.3, 10 * 3.75 + 20 * 2 * 3),
    )


def test_a_model_that_stands_in_is_paid_its_own_price() -> None:
    prices = {"input": 100, "output": 200, "cacheRead": 10, "cacheWrite": 125}
    stand_in = {"provider": "custom", "model": "big", "cost": prices}
    model = replace(CLAUDE, compat={"allowedFallbackModels": [stand_in]})
    start = x.message_start(model="big", usage=count(100, 1) | cached(20, 30, 20))
    message = ask(model, start, x.message_end(output_tokens=50))
    check(
        message.usage,
        Tokens(100, 50, 20, 30, 20),
        (100 * 100, 50 * 200, 20 * 10, 10 * 125 + 20 * 2 * 100),
    )
