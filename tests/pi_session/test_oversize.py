"""Tool results that alone fill a window."""

from __future__ import annotations

from typing import Any

import pytest

from pi_session import CompactionSettings, build_projection, find_oversized_results
from pi_session.estimation import sum_estimates
from support.session_entries import calls, chain, edit, result, u, x

SETTINGS = CompactionSettings(reserve_tokens=2000)
WINDOW = 10_000
READS = calls(("read", "a"), ("read", "b"), ("read", "c"))


@pytest.mark.parametrize(
    ("sizes", "shortened"),
    [
        pytest.param((7900, 10, 10), [], id="fits"),
        pytest.param((100_000, 10, 10), ["3"], id="one-is-huge"),
        pytest.param((9000, 5000, 10), ["3", "4"], id="the-longest-two"),
        pytest.param((3000, 3000, 3000), ["3", "4", "5"], id="all"),
    ],
)
def test_the_longest_results_are_shortened(sizes: tuple[int, ...], shortened: list[str]) -> None:
    results = [result(x(size), f"c{n}") for n, size in enumerate(sizes)]
    entries: list[dict[str, Any]] = [u("q"), READS, *results]
    edits = find_oversized_results(build_projection(chain(*entries)), WINDOW, SETTINGS)
    assert [each.target_id for each in edits] == shortened
    entries += [edit(each.target_id, each.replacement) for each in edits]
    tokens = sum_estimates(build_projection(chain(*entries)).messages)
    assert tokens <= (4010 if edits else 8000)
    assert tokens > 3900


def test_every_result_keeps_something() -> None:
    entries = [u("q"), *(result(x(1000), f"c{n}") for n in range(60))]
    edits = find_oversized_results(build_projection(chain(*entries)), WINDOW, SETTINGS)
    assert len(edits) == 60
    texts = [each.replacement["content"][0]["text"] for each in edits]
    assert {len(text) for text in texts} <= {1999, 2000}


@pytest.mark.parametrize("window", [0, -1])
def test_unknown_window_shortens_nothing(window: int) -> None:
    projection = build_projection(chain(u("q"), READS, result(x(100_000))))
    assert find_oversized_results(projection, window, SETTINGS) == []


def test_only_results_are_shortened() -> None:
    projection = build_projection(chain(u(x(100_000)), READS, result("short")))
    assert find_oversized_results(projection, WINDOW, SETTINGS) == []
