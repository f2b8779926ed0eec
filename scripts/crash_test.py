"""Kills writers of session files at random moments, as often as wanted, and prints what is left.

python scripts/crash_test.py [--kills 500] [--seed 0] [--files 3]

The test suite does the same with a few kills. Fails with an AssertionError if an entry is lost.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from support.crashes import crash_writers


def main() -> None:
    """Parse the command line, kill, print the figures."""
    parser = argparse.ArgumentParser(description="Kill writers of session files.")
    parser.add_argument("--kills", type=int, default=500, help="how many writers (default 500)")
    parser.add_argument("--seed", type=int, default=0, help="where and when to kill")
    parser.add_argument("--files", type=int, default=3, help="session files of each writer")
    options = parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as directory:
        figures = crash_writers(
            Path(directory), options.kills, seed=options.seed, files=options.files
        )
    print(
        f"{figures.kills} writers killed in {time.perf_counter() - started:.0f} s: "
        f"{figures.acknowledged:,} acknowledged entries, all there; "
        f"{figures.unacknowledged:,} that nobody was told of; {figures.torn} torn lines"
    )


if __name__ == "__main__":
    main()
