"""The line diff: Myers' greedy algorithm, with upstream's choice among equally short diffs.

Source: tools spec, section 6.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

__all__ = ("DEFAULT_MAX_STEPS", "Run", "RunKind", "diff_lines", "join_runs")

RunKind: TypeAlias = Literal["=", "-", "+"]

DEFAULT_MAX_STEPS = 200_000
"""About a tenth of a second of work; enough for some 600 changed lines."""


class Run(NamedTuple):
    """`count` lines in a row that are kept, deleted or inserted."""

    kind: RunKind
    lines: int


_Step: TypeAlias = "tuple[RunKind, int, _Step | None]"
"""Kind and number of lines of a run, and the run before it. Plain, since thousands are made."""


def diff_lines(
    old: Sequence[str], new: Sequence[str], max_steps: int = DEFAULT_MAX_STEPS
) -> list[Run]:
    """How `old` becomes `new`, as runs in order.

    A diff that would take more than `max_steps` steps is cut short: the lines between the common
    beginning and the common end are then one deletion and one insertion.
    """
    # Comparing small integers is cheaper than comparing lines.
    numbers: dict[str, int] = {}
    a = [numbers.setdefault(line, len(numbers)) for line in old]
    b = [numbers.setdefault(line, len(numbers)) for line in new]
    runs = _shortest(a, b, max_steps)
    return _replace_middle(a, b) if runs is None else runs


def join_runs(runs: Sequence[Run]) -> list[Run]:
    """`runs` without empty ones and with neighbours of the same kind joined."""
    joined: list[Run] = []
    for kind, count in runs:
        if joined and joined[-1].kind == kind:
            joined[-1] = Run(kind, joined[-1].lines + count)
        elif count:
            joined.append(Run(kind, count))
    return joined


def _in_order(step: _Step | None) -> list[Run]:
    runs: list[Run] = []
    while step is not None:
        kind, count, step = step
        runs.append(Run(kind, count))
    runs.reverse()
    return runs


def _shortest(a: Sequence[int], b: Sequence[int], max_steps: int) -> list[Run] | None:
    """The runs of the shortest path, or None when it takes too long to find.

    Diagonal k holds the points whose old index minus new index is k. `ends[k]` is how far the
    best path on it has come in `a`, -1 if there is none; `steps[k]` is how it came there.
    """
    old_count, new_count = len(a), len(b)
    # Negative diagonals are at the end of the lists; two more keep the ends apart.
    ends = [-1] * (old_count + new_count + 3)
    steps: list[_Step | None] = [None] * len(ends)
    at, shorter = 0, min(old_count, new_count)
    while at < shorter and a[at] == b[at]:
        at += 1
    first: _Step | None = ("=", at, None) if at else None
    if at == old_count == new_count:
        return _in_order(first)
    ends[0], steps[0] = at, first
    budget = max_steps
    for distance in range(1, old_count + new_count + 1):
        budget -= distance + 1
        if budget < 0:
            return None
        # Outside these bounds a diagonal has no point.
        low = max(-distance, -new_count + (distance - new_count) % 2)
        high = min(distance, old_count - (distance - old_count) % 2)
        for k in range(low, high + 1, 2):
            below, above = ends[k - 1], ends[k + 1]
            can_delete = 0 <= below < old_count
            can_insert = above >= 0 and above - k <= new_count
            if can_insert and (not can_delete or below < above):
                start, step = above, _extend("+", steps[k + 1])
            elif can_delete:
                start, step = below + 1, _extend("-", steps[k - 1])
            else:
                ends[k] = -1
                continue
            at, limit = start, min(old_count, new_count + k)
            while at < limit and a[at] == b[at - k]:
                at += 1
            if at > start:
                step = ("=", at - start, step)
                budget -= at - start
            if at == old_count and at - k == new_count:
                return _in_order(step)
            ends[k], steps[k] = at, step
    raise AssertionError("a diff is never longer than both texts")


def _extend(kind: RunKind, before: _Step | None) -> _Step:
    if before is not None and before[0] == kind:
        return (kind, before[1] + 1, before[2])
    return (kind, 1, before)


def _replace_middle(a: Sequence[int], b: Sequence[int]) -> list[Run]:
    shorter = min(len(a), len(b))
    head = 0
    while head < shorter and a[head] == b[head]:
        head += 1
    tail = 0
    while tail < shorter - head and a[-1 - tail] == b[-1 - tail]:
        tail += 1
    middle = [Run("-", len(a) - head - tail), Run("+", len(b) - head - tail)]
    return join_runs([Run("=", head), *middle, Run("=", tail)])
