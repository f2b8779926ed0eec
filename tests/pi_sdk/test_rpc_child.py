"""The process of an RPC server: its lines, its standard error, what must not be shown."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pi_sdk.rpc_child import _STDERR_BYTES, ChildProcess, find_secrets


class Owner:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.stderr: list[str] = []
        self.ended = 0

    def line_received(self, line: bytes) -> None:
        self.lines.append(line)

    def stderr_received(self, line: str) -> None:
        self.stderr.append(line)

    def child_ended(self) -> None:
        self.ended += 1


def fed(fd: int, *chunks: bytes, secrets: tuple[str, ...] = ()) -> tuple[Owner, ChildProcess]:
    """A child without a process that has said these chunks and closed the pipe."""

    async def main() -> tuple[Owner, ChildProcess]:
        owner = Owner()
        child = ChildProcess(owner, secrets)
        for chunk in chunks:
            child.pipe_data_received(fd, chunk)
        child.pipe_connection_lost(fd, None)
        return owner, child

    return asyncio.run(main())


@settings(max_examples=60)
@given(st.text(alphabet="a{é\u2028\x0b\r\n", max_size=40), st.lists(st.integers(0, 60)))
def test_lines_are_the_same_however_they_are_cut(text, cuts):
    data = text.encode()
    marks = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    owner, _ = fed(1, *(data[a:b] for a, b in pairwise(marks)))
    *whole, rest = data.split(b"\n")
    expected = [*whole, *([rest] if rest else [])]
    assert owner.lines == [line.removesuffix(b"\r") for line in expected]


def test_a_long_line_takes_time_linear_in_its_length():
    """Twenty thousand pieces: joined each time, they would be copied ten thousand times over."""
    owner, _ = fed(1, *[b"x" * 1000] * 20_000, b"\n")
    assert [len(line) for line in owner.lines] == [20_000_000]


def test_standard_error_is_masked_and_bounded():
    secret = "sk-very-secret"
    flood = b"line with sk-very-secret in it\n" * 10_000
    owner, child = fed(
        2, *(flood[i : i + 1000] for i in range(0, len(flood), 1000)), b"end", secrets=(secret,)
    )
    assert len(owner.stderr) == 10_000
    assert set(owner.stderr) == {"line with *** in it"}
    assert len(child._stderr) <= 2 * _STDERR_BYTES
    assert child.stderr.endswith("line with *** in it\nend")
    assert child.stderr.startswith("line with *** in it\n")  # no half line, with half a secret
    assert "secret" not in child.stderr


def test_standard_error_without_line_ends_is_told_in_pieces():
    owner, child = fed(2, *[b"x" * 1000] * 200)
    assert len("".join(owner.stderr)) >= 2 * _STDERR_BYTES
    assert len(child._stderr_line) <= _STDERR_BYTES


@pytest.mark.parametrize(
    ("environment", "arguments", "expected"),
    [
        ({"OPENAI_API_KEY": "sk-12345678"}, [], ("sk-12345678",)),
        ({"HF_TOKEN": "123456789", "my_secret": "abcdefgh"}, [], ("123456789", "abcdefgh")),
        ({"DB_PASSWORD": "short", "KEYBOARD": "us-layout"}, [], ()),
        ({}, ["--api-key", "sk-12345678", "--model", "m"], ("sk-12345678",)),
        ({}, ["--api-key=sk-12345678"], ("sk-12345678",)),
        ({}, ["--api-key"], ()),
        ({"A_KEY": "12345678", "B_KEY": "1234567890"}, [], ("1234567890", "12345678")),
    ],
    ids=["key", "token and secret", "short, other name", "flag", "joined", "bare", "longest first"],
)
def test_what_must_not_be_shown(environment, arguments, expected):
    assert find_secrets(environment, arguments) == expected
