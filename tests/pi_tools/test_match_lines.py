from __future__ import annotations

import pytest

from pi_agent.types import ToolError
from pi_tools import FoundLine
from pi_tools.match_lines import MatchReader

OUTPUT = (
    b"./a.txt\0001:one\n"
    b"./a.txt\0002-two: 3\n"
    b"./b\nc\0007:x\0y\r\n"
    b'./late.bin: WARNING: stopped searching binary file after match (found "\\0" byte)\n'
    b"sub/\xff\00012:\n"
    b"sub/\xff\00013:" + b"\xc3\xa9" * 50_000 + b"\n"
    b"d\0001:end\n"
    b'./late.bin: WARNING: stopped searching binary file after match (found "\\0" byte)\n'
)
LINES = [
    FoundLine("a.txt", 1, True, "one"),
    FoundLine("a.txt", 2, False, "two: 3"),
    FoundLine("b\\nc", 7, True, "x\0y"),
    FoundLine("sub/\ufffd", 12, True, ""),
    FoundLine("sub/\ufffd", 13, True, "é" * 2048),
    FoundLine("d", 1, True, "end"),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 4096, 65536, len(OUTPUT)])
def test_output_is_read_in_pieces_of_any_size(size: int) -> None:
    reader = MatchReader()
    pieces = [OUTPUT[start : start + size] for start in range(0, len(OUTPUT), size)]
    assert [line for piece in pieces for line in reader.feed(piece)] == LINES


def test_other_output_is_refused() -> None:
    with pytest.raises(ToolError, match="printed what is no match"):
        list(MatchReader().feed(b"x" * 100_000))
