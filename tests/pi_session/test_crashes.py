"""Writers that are killed lose nothing they told of. `scripts/crash_test.py` kills more."""

from __future__ import annotations

from pathlib import Path

from support.crashes import crash_writers


def test_killed_writers_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    figures = crash_writers(tmp_path, 25)
    assert figures.kills == 25
    assert figures.acknowledged > 100
