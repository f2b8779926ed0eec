from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import groupby, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_tools.myers import Run, diff_lines

LINES = st.lists(st.sampled_from("abcd"), max_size=14)


def apply(runs: Sequence[Run], old: Sequence[str], new: Sequence[str]) -> list[str]:
    """Rebuild the new lines; kept lines are taken from the old ones."""
    made: list[str] = []
    at = 0
    for kind, count in runs:
        if kind == "+":
            made += new[len(made) : len(made) + count]
        else:
            if kind == "=":
                made += old[at : at + count]
            at += count
    assert at == len(old)
    return made


def shortest(old: Sequence[str], new: Sequence[str]) -> int:
    """The edit distance without substitution, by the table."""
    row = list(range(len(new) + 1))
    for number, line in enumerate(old, 1):
        before, row = row, [number]
        for column, other in enumerate(new, 1):
            least = min(before[column], row[-1]) + 1
            row.append(before[column - 1] if line == other else least)
    return row[-1]


@given(LINES, LINES)
def test_runs_turn_old_into_new_in_the_fewest_steps(old: list[str], new: list[str]) -> None:
    runs = diff_lines(old, new)
    assert apply(runs, old, new) == new
    assert all(count > 0 for _, count in runs)
    assert all(one.kind != other.kind for one, other in pairwise(runs))
    assert sum(count for kind, count in runs if kind != "=") == shortest(old, new)


@given(LINES, LINES)
def test_without_time_the_middle_is_replaced(old: list[str], new: list[str]) -> None:
    runs = diff_lines(old, new, max_steps=0)
    assert apply(runs, old, new) == new
    kinds = "".join(run.kind for run in runs)
    assert kinds.strip("=") in ("", "-", "+", "-+", "+-", "-+-", "+-+")


def by_the_rules(old: Sequence[str], new: Sequence[str]) -> list[tuple[str, int]]:
    """The spec's algorithm as it stands there: whole paths, one per diagonal."""
    Path = tuple[int, int, str]

    def slide(x: int, y: int, steps: str) -> Path:
        while x < len(old) and y < len(new) and old[x] == new[y]:
            x, y, steps = x + 1, y + 1, steps + "="
        return x, y, steps

    paths: dict[int, Path | None] = {0: slide(0, 0, "")}
    done, distance = paths[0], 0
    while not done or done[:2] != (len(old), len(new)):
        done, distance = None, distance + 1
        for k in range(-distance, distance + 1, 2):
            below, above = paths.get(k - 1), paths.get(k + 1)
            deleted = below if below and below[0] < len(old) else None
            inserted = above if above and above[1] < len(new) else None
            if inserted and (not deleted or deleted[0] < inserted[0]):
                paths[k] = slide(inserted[0], inserted[1] + 1, inserted[2] + "+")
            elif deleted:
                paths[k] = slide(deleted[0] + 1, deleted[1], deleted[2] + "-")
            else:
                paths[k] = None
            path = paths[k]
            if path and path[:2] == (len(old), len(new)):
                done = path
                break
    return [(kind, len(list(run))) for kind, run in groupby(done[2])]


@given(LINES, LINES)
def test_tools_spec_6_5_choice_among_shortest_diffs(old: list[str], new: list[str]) -> None:
    assert [tuple(run) for run in diff_lines(old, new)] == by_the_rules(old, new)


def test_replaced_middle_keeps_beginning_and_end() -> None:
    old = ["a", *map(str, range(50)), "z"]
    new = ["a", *map(str, range(100, 150)), "z"]
    assert diff_lines(old, new, max_steps=100) == [
        Run("=", 1),
        Run("-", 50),
        Run("+", 50),
        Run("=", 1),
    ]


@pytest.mark.parametrize(
    ("old", "new", "kinds"),
    [
        pytest.param("ab", "cb", [("-", 1), ("+", 1), ("=", 1)], id="deletion comes first"),
        pytest.param("aa", "a", [("=", 1), ("-", 1)], id="last of equal lines is deleted"),
        pytest.param("a", "aa", [("=", 1), ("+", 1)], id="last of equal lines is inserted"),
        pytest.param("", "ab", [("+", 2)], id="all new"),
        pytest.param("ab", "", [("-", 2)], id="all gone"),
        pytest.param("ab", "ab", [("=", 2)], id="equal"),
        pytest.param("", "", [], id="empty"),
        pytest.param(
            "abc", "bxc", [("-", 1), ("=", 1), ("+", 1), ("=", 1)], id="deletion then insertion"
        ),
    ],
)
def test_choice_among_shortest_diffs(old: str, new: str, kinds: list[tuple[str, int]]) -> None:
    assert diff_lines(old, new) == [Run(*kind) for kind in kinds]


def test_hopeless_diff_ends_soon() -> None:
    old = [f"old {number}" for number in range(20_000)]
    new = [f"new {number}" for number in range(20_000)]
    started = time.process_time()
    assert diff_lines(old, new) == [Run("-", 20_000), Run("+", 20_000)]
    assert time.process_time() - started < 1.5
