"""Runs one subject in a process of its own and reads the line of JSON that it prints."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping

from peers import Environment, child_environment

__all__ = ("run_subject",)

_RUN_SECONDS = 180


def run_subject(environment: Environment, job: Mapping[str, object]) -> dict[str, float]:
    """What the subject's process reports. Raises RuntimeError with one line that says why not."""
    try:
        done = subprocess.run(
            [*environment.command, json.dumps(job)],
            capture_output=True,
            text=True,
            timeout=_RUN_SECONDS,
            env=child_environment(),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"no result within {_RUN_SECONDS} s") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise RuntimeError(lines[-1][:200] if lines else f"exit status {done.returncode}")
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told
