"""The project that the agent repairs: a module with a real bug, and a test that shows it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

__all__ = ("create_project", "diff", "run_tests")

_FILES = {
    "invoice.py": '''\
"""Invoice arithmetic."""


def subtotal(lines):
    """Sum of quantity times unit price over (quantity, unit_price) pairs."""
    return sum(quantity * unit_price for quantity, unit_price in lines)


def total(lines, discount_percent=0):
    """What the customer pays, after a discount given in percent."""
    return round(subtotal(lines) * (1 - discount_percent), 2)
''',
    "test_invoice.py": """\
from invoice import subtotal, total

LINES = [(2, 10.0), (1, 5.0)]


def test_subtotal():
    assert subtotal(LINES) == 25.0


def test_total_without_discount():
    assert total(LINES) == 25.0


def test_total_with_ten_percent_discount():
    assert total(LINES, discount_percent=10) == 22.5
""",
    ".gitignore": "__pycache__/\n.pytest_cache/\n",
}


def create_project(directory: Path) -> None:
    """Write the project into `directory` and commit it to a new git repository."""
    directory.mkdir(parents=True)
    for name, content in _FILES.items():
        (directory / name).write_text(content, encoding="utf-8")
    _git(directory, "init", "--quiet")
    _git(directory, "add", ".")
    own = ("user.name=demo", "user.email=demo@localhost", "commit.gpgsign=false")
    settings = [part for setting in own for part in ("-c", setting)]
    _git(directory, *settings, "commit", "--quiet", "--message", "Invoices")


def run_tests(directory: Path) -> tuple[bool, str]:
    """Whether the project's tests pass, and the last line that pytest printed."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return done.returncode == 0, lines[-1] if lines else "pytest printed nothing"


def diff(directory: Path) -> str:
    """What was changed since the project was created."""
    return _git(directory, "diff")


def _git(directory: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True)
    return done.stdout
