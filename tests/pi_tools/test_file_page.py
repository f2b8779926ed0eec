"""A page cut over there shows what a file that came here whole would show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pi_agent.types import ToolError
from pi_tools import create_read_tool, over_prefix

if TYPE_CHECKING:
    from tests.pi_tools.conftest import Calls

NUMBERED = "".join(f"line {number}\n" for number in range(40_000))
FILES = {
    "numbered": NUMBERED.encode(),
    "no final newline": NUMBERED.encode() + b"end",
    "one line": b"x" * 400_000,
    "long second line": b"first\n" + b"y" * 300_000 + b"\nthird\n",
    "empty lines": b"\n" * 300_000,
    "wide": "€".encode() * 60 + b"\n" + ("é€😀" * 40 + "\n").encode() * 1000,
    "small": b"a\nb\n",
}
CHOICES: list[dict[str, Any]] = [
    {},
    {"limit": 1},
    {"limit": 2001},
    {"offset": 2},
    {"offset": 2, "limit": 1},
    {"offset": 40_000, "limit": 1},
    {"offset": 40_001},
    {"offset": 40_002},
    {"offset": 1e300},
]


def shown(calls: Calls, folder: Path, options: Any, arguments: dict[str, Any]) -> Any:
    try:
        result = calls.result(create_read_tool(folder, **options), {"path": "f", **arguments})
    except ToolError as error:
        return str(error)
    return calls.first_text(result), result.details


@pytest.mark.parametrize("name", FILES)
def test_page_is_as_of_a_file_at_hand(name: str, calls: Calls, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(FILES[name])
    there = over_prefix(["env", "OVER_THERE=yes"])["read"]
    for choice in CHOICES:
        expected = shown(calls, tmp_path, {}, choice)
        assert shown(calls, tmp_path, there, choice) == expected, choice


def test_little_of_a_large_file_is_transferred(calls: Calls, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"some line\n" * 3_000_000)
    counted = ["sh", "-c", f'"$@" | tee -a {tmp_path}/sent', "sh"]
    text, _ = shown(calls, tmp_path, over_prefix(counted)["read"], {"offset": 2_000_000})
    assert text.endswith(
        "[Showing lines 2000000-2001999 of 3000001. Use offset=2002000 to continue.]"
    )
    assert (tmp_path / "sent").stat().st_size < 100_000


def test_large_binary_file_is_named(calls: Calls, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"\x1f\x8b\0" * 200_000)
    there = over_prefix(["env", "OVER_THERE=yes"])["read"]
    assert shown(calls, tmp_path, there, {}) == shown(calls, tmp_path, {}, {})
