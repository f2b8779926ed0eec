"""Lists of models that providers keep themselves. Ai-core spec, section 12.4 and check 28."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from pi_ai import AbortController, Model, Models, ProviderSpec
from pi_ai.provider import FetchContext
from pi_ai.refresh import RefreshResult
from support.exchanges import M

NOTHING_WRONG = RefreshResult(False, {})


def model(model_id: str, name: str = "", **changes: Any) -> Model:
    return replace(M, provider="own", id=model_id, name=name or model_id, **changes)


Fetch = Callable[[FetchContext], Awaitable[Sequence[Model]]]


def spec(fetch: Fetch | None, provider: str = "own", **changes: Any) -> ProviderSpec:
    return ProviderSpec(provider, needs_key=False, fetch_models=fetch, **changes)


def giving(*models: Model) -> Fetch:
    async def fetch(_context: FetchContext) -> Sequence[Model]:
        return models

    return fetch


def listed(models: Models) -> list[tuple[str, str]]:
    return [(each.id, each.name) for each in models.get_models("own")]


def test_a_fetched_list_lies_over_the_known_one() -> None:
    models = Models(())
    fetched = [model("b", "new b"), model("c")]
    models.set_provider(spec(giving(*fetched)), [model("a"), model("b", "old b"), model("z")])
    assert asyncio.run(models.refresh()) == NOTHING_WRONG
    assert listed(models) == [("a", "a"), ("b", "new b"), ("z", "z"), ("c", "c")]
    assert models.get_model("own", "c") is fetched[1]


def test_the_next_list_replaces_the_whole_last_one() -> None:
    lists = iter([[model("b", "new b"), model("c")], [model("d")]])

    async def fetch(_context: FetchContext) -> Sequence[Model]:
        return next(lists)

    models = Models(())
    models.set_provider(spec(fetch), [model("b", "old b")])
    asyncio.run(models.refresh())
    asyncio.run(models.refresh("own"))
    assert listed(models) == [("b", "old b"), ("d", "d")]


def test_built_in_models_are_overlaid_in_place() -> None:
    models = Models()
    groq = models.get_provider("groq")
    assert groq is not None
    before = models.get_models("groq")
    other = replace(before[1], name="fetched")
    models.set_provider(replace(groq, needs_key=False, fetch_models=giving(other)))
    assert asyncio.run(models.refresh(["groq"])) == NOTHING_WRONG
    assert models.get_models("groq") == [before[0], other, *before[2:]]


def test_ai_core_check_28_models_of_unknown_kinds_are_dropped() -> None:
    models = Models([spec(giving(model("a", type="zzz"), model("b", type="chat"), model("c")))])
    assert asyncio.run(models.refresh()) == NOTHING_WRONG
    assert [each.id for each in models.get_models("own")] == ["b", "c"]


class Counting:
    """A fetch that notes whom it was called for, and with what."""

    def __init__(self) -> None:
        self.contexts: list[FetchContext] = []

    async def __call__(self, context: FetchContext) -> Sequence[Model]:
        self.contexts.append(context)
        return []

    @property
    def names(self) -> list[str]:
        return [context.provider.id for context in self.contexts]


@pytest.mark.parametrize(
    ("chosen", "fetched"),
    [
        pytest.param(None, ["free", "near", "keyed"], id="all"),
        pytest.param(["keyed", "free", "keyed"], ["keyed", "free"], id="some-once"),
        pytest.param("near", ["near"], id="one"),
        pytest.param(["nobody", "static", "unconfigured"], [], id="none-of-use"),
        pytest.param([], [], id="none"),
    ],
)
def test_ai_core_check_28_what_cannot_be_fetched_is_passed_over(
    chosen: Any, fetched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYED_KEY", "secret")
    fetch = Counting()
    rows = [
        ProviderSpec("free", needs_key=False, fetch_models=fetch),
        ProviderSpec("near", base_url="http://127.0.0.1:1/v1", fetch_models=fetch),
        ProviderSpec("unconfigured", env=("NO_SUCH_KEY",), fetch_models=fetch),
        ProviderSpec("keyed", env=("KEYED_KEY",), fetch_models=fetch),
        ProviderSpec("static", needs_key=False),
    ]
    assert asyncio.run(Models(rows).refresh(chosen)) == NOTHING_WRONG
    assert fetch.names == fetched


def test_a_fetch_gets_the_credentials_of_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN_KEY", "secret")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token")
    fetch = Counting()
    rows = [
        ProviderSpec("own", env=("OWN_KEY",), fetch_models=fetch),
        ProviderSpec("anthropic", fetch_models=fetch),
    ]
    asyncio.run(Models(rows).refresh())
    own, anthropic = fetch.contexts
    assert (own.api_key, own.headers) == ("secret", {})
    assert (anthropic.api_key, anthropic.headers) == (None, {"Authorization": "Bearer token"})
    assert "secret" not in repr(own)
    assert "token" not in repr(anthropic)


def test_ai_core_check_28_without_the_network_nothing_is_fetched() -> None:
    fetch = Counting()
    assert asyncio.run(Models([spec(fetch)]).refresh(allow_network=False)) == NOTHING_WRONG
    assert fetch.names == []


async def broken(_context: FetchContext) -> Sequence[Model]:
    raise ConnectionError("no route")


async def no_models(_context: FetchContext) -> Any:
    return [{"id": "a"}]


@pytest.mark.parametrize(
    ("fetch", "error"),
    [
        pytest.param(broken, ConnectionError("no route"), id="raises"),
        pytest.param(
            no_models, TypeError("fetch_models of own: expected Models, found dict"), id="no-models"
        ),
        pytest.param(
            giving(replace(M, provider="other", id="a")),
            ValueError("fetch_models of own: a is a model of other"),
            id="models-of-another",
        ),
    ],
)
def test_ai_core_check_28_a_failure_is_the_providers_alone(fetch: Fetch, error: Exception) -> None:
    models = Models([spec(fetch), spec(giving(replace(M, provider="well")), "well")])
    models.set_provider(spec(fetch), [model("kept")])
    result = asyncio.run(models.refresh())
    assert not result.aborted
    assert [*result.errors] == ["own"]
    assert repr(result.errors["own"]) == repr(error)
    assert listed(models) == [("kept", "kept")]
    assert [each.id for each in models.get_models("well")] == ["m"]


def test_ai_core_check_28_a_signal_that_is_set_fetches_nothing() -> None:
    controller = AbortController()
    controller.abort()
    fetch = Counting()
    result = asyncio.run(Models([spec(fetch)]).refresh(signal=controller.signal))
    assert result == RefreshResult(True, {})
    assert fetch.names == []


def test_an_abort_stops_what_runs_and_keeps_what_came() -> None:
    controller = AbortController()
    stopped: list[str] = []

    async def slow(_context: FetchContext) -> Sequence[Model]:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            stopped.append("slow")
            raise
        return []

    async def run(models: Models) -> RefreshResult:
        asyncio.get_running_loop().call_later(0.03, controller.abort)
        return await models.refresh(signal=controller.signal)

    models = Models([spec(giving(model("a"))), spec(slow, "slow"), spec(broken, "broken")])
    result = asyncio.run(run(models))
    assert result.aborted
    assert [*result.errors] == ["broken"]
    assert stopped == ["slow"]
    assert listed(models) == [("a", "a")]


def test_providers_are_asked_at_the_same_time() -> None:
    async def run() -> RefreshResult:
        barrier = asyncio.Barrier(3)

        async def fetch(_context: FetchContext) -> Sequence[Model]:
            await asyncio.wait_for(barrier.wait(), 1)
            return []

        return await Models([spec(fetch, name) for name in ("a", "b", "c")]).refresh()

    assert asyncio.run(run()) == NOTHING_WRONG


class Held:
    """Fetches that end when they are told to; `stubborn` ones overhear their cancellation."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.gates: list[asyncio.Event] = []
        self._stubborn = stubborn

    async def __call__(self, _context: FetchContext) -> Sequence[Model]:
        gate = asyncio.Event()
        self.gates.append(gate)
        number = len(self.gates)
        try:
            await gate.wait()
        except asyncio.CancelledError:
            if not self._stubborn:
                raise
        return [model("a", f"fetch {number}")]

    async def started(self, count: int) -> None:
        while len(self.gates) < count:
            await asyncio.sleep(0)


@pytest.mark.parametrize("stubborn", [False, True], ids=["yielding", "stubborn"])
@pytest.mark.parametrize("newer_ends_first", [True, False])
def test_a_newer_refresh_supersedes_an_older_one(stubborn: bool, newer_ends_first: bool) -> None:
    async def run() -> tuple[RefreshResult, RefreshResult, list[tuple[str, str]]]:
        held = Held(stubborn=stubborn)
        models = Models([spec(held)])
        older = asyncio.create_task(models.refresh())
        await held.started(1)
        newer = asyncio.create_task(models.refresh())
        await held.started(2)
        if newer_ends_first:
            held.gates[1].set()
            await newer
        first = await asyncio.wait_for(older, 1)
        held.gates[1].set()
        return first, await newer, listed(models)

    first, second, found = asyncio.run(run())
    assert first == second == NOTHING_WRONG
    assert found == [("a", "fetch 2")]


def test_a_provider_that_is_replaced_forgets_what_was_fetched_for_it() -> None:
    async def run() -> Models:
        held = Held()
        models = Models([spec(held)])
        running = asyncio.create_task(models.refresh())
        await held.started(1)
        held.gates[0].set()
        await running
        running = asyncio.create_task(models.refresh())
        await held.started(2)
        models.set_provider(spec(giving()), [model("mine")])
        assert await asyncio.wait_for(running, 1) == NOTHING_WRONG
        return models

    assert listed(asyncio.run(run())) == [("mine", "mine")]


def test_a_caller_that_is_cancelled_stops_its_fetches() -> None:
    async def run() -> Models:
        held = Held()
        models = Models([spec(held)])
        running = asyncio.create_task(models.refresh())
        await held.started(1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return models

    assert listed(asyncio.run(run())) == []


def test_a_copy_has_the_fetched_models_and_refreshes_on_its_own() -> None:
    lists = iter([[model("a")], [model("b")]])

    async def fetch(_context: FetchContext) -> Sequence[Model]:
        return next(lists)

    models = Models([spec(fetch)])
    asyncio.run(models.refresh())
    copied = models.copy()
    assert listed(copied) == [("a", "a")]
    asyncio.run(copied.refresh())
    assert listed(copied) == [("b", "b")]
    assert listed(models) == [("a", "a")]
