"""`python -m demo`, run as a user runs it: with no key, no local server and no network."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """As the suite's own, with temporary files below the test's directory and no local server."""
    nobody = "http://127.0.0.1:9/v1"
    return {**os.environ, "TMPDIR": str(tmp_path), "PI_DEMO_BASE_URL": nobody, "NO_COLOR": "1"}


def start(environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "demo"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def processes_below(directory: Path) -> list[str]:
    """Command lines of the processes that work in a directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            cwd = (entry / "cwd").readlink()
            if cwd.is_relative_to(directory):
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


@pytest.mark.timeout(90)
def test_demo_repairs_the_project_and_remembers_it(
    environment: dict[str, str], tmp_path: Path
) -> None:
    done = start(environment)
    output, _ = done.communicate(timeout=80)
    assert done.returncode == 0, output
    assert "SCRIPTED" in output.splitlines()[0]
    assert re.search(r"1 failed, 2 passed", output)
    assert "+    return round(subtotal(lines) * (1 - discount_percent / 100), 2)" in output
    assert re.search(r"The tests now\n  pytest: 3 passed", output)
    assert "the discount was not divided by 100" in output
    [session] = tmp_path.glob("pi-demo-*/agent/sessions/*/*.jsonl")
    assert f"session: {session}" in output
    lines = session.read_text().splitlines()
    roles = [json.loads(line).get("message", {}).get("role") for line in lines]
    assert roles.count("user") == 2
    assert roles.count("toolResult") == 5


@pytest.mark.timeout(60)
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_interrupt_ends_the_demo_within_two_seconds_and_leaves_nothing(
    environment: dict[str, str], tmp_path: Path
) -> None:
    running = start(environment)
    assert running.stdout is not None
    for line in running.stdout:
        if "> bash" in line:
            break
    os.killpg(running.pid, signal.SIGINT)
    before = time.monotonic()
    rest = running.communicate(timeout=20)[0]
    elapsed = time.monotonic() - before
    assert running.returncode == 130, rest
    assert "Interrupted." in rest
    assert "Traceback" not in rest
    assert elapsed < 2
    assert processes_below(tmp_path) == []
    [session] = tmp_path.glob("pi-demo-*/agent/sessions/*/*.jsonl")
    text = session.read_text()
    assert text.endswith("\n")
    entries = [json.loads(line) for line in text.splitlines()]
    assert entries[-1]["message"]["stopReason"] == "aborted"
    calls = [b["id"] for e in entries for b in e.get("message", {}).get("content", [])
             if isinstance(b, dict) and b["type"] == "toolCall"]  # fmt: skip
    results = [e["message"]["toolCallId"] for e in entries
               if e.get("message", {}).get("role") == "toolResult"]  # fmt: skip
    assert calls == results


@pytest.mark.timeout(60)
def test_unknown_model_is_one_line_with_near_matches(environment: dict[str, str]) -> None:
    done = start({**environment, "PI_DEMO_MODEL": "anthropic/claude-sonet-4-5"})
    output, _ = done.communicate(timeout=50)
    assert done.returncode == 1
    [line] = output.splitlines()
    assert "claude-sonet-4-5" in line
    assert "anthropic/claude-sonnet-4-5" in line
