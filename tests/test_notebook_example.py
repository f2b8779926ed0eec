"""The notebook of the examples: it runs from top to bottom, and holds nothing of a run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from support import notebook

PATH = Path(__file__).resolve().parents[1] / "examples/notebook.ipynb"


def test_the_notebook_runs_from_top_to_bottom():
    command = [sys.executable, "-W", "error", notebook.__file__, str(PATH)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    shown = done.stdout.splitlines()
    assert shown[0] == "[rainfall {'month': 'May'}]"
    assert shown[1].startswith("In May it rained 61 mm.<div><p><b>")  # the session, as a table
    assert "<b>toolResult</b> rainfall: 61 mm" in shown[1]
    assert shown[2].startswith("June was wetter, by 9 mm.<p>9 entries, 7 messages")
    assert "$0.009900" in shown[2]
    assert len(shown) == 3


def test_the_notebook_is_stored_without_its_outputs():
    book = json.loads(PATH.read_text(encoding="utf-8"))
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in book["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)


def test_a_cell_that_fails_is_a_failure(tmp_path):
    path = tmp_path / "bad.ipynb"
    cell = {"id": "x", "cell_type": "code", "source": ["import asyncio\n", "await asyncio.nope()"]}
    path.write_text(json.dumps({"cells": [cell]}))
    command = [sys.executable, notebook.__file__, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert "<cell x>" in done.stderr
