"""Framing and back-pressure over real pipes: rpc spec, sections 3 and 8."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from io import FileIO
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_sdk.rpc_streams import FileLines, PipeLines, StreamLines


@given(
    data=st.lists(st.sampled_from([b"\n", b"\r", b"\r\n", b"{}", b"\xe2\x80\xa8", b"\x0b\x0c"])),
    cuts=st.lists(st.integers(0, 30), max_size=8),
)
def test_lines_end_at_line_feeds_only_however_they_arrive(data, cuts):
    whole = b"".join(data)
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})

    async def main() -> list[bytes]:
        stream = asyncio.StreamReader()
        reader = StreamLines(stream)
        found: list[bytes] = []

        async def read() -> None:
            while (line := await reader.read_line()) is not None:
                found.append(line)

        reading = asyncio.create_task(read())
        for start, end in pairwise(places):
            stream.feed_data(whole[start:end])
            await asyncio.sleep(0)
        stream.feed_eof()
        await reading
        assert await reader.read_line() is None
        return found

    expected = whole.split(b"\n")
    if not expected[-1]:
        expected.pop()
    assert asyncio.run(main()) == [line.removesuffix(b"\r") for line in expected]


@asynccontextmanager
async def piped():
    source, target = os.pipe()
    loop = asyncio.get_running_loop()
    _, writer = await loop.connect_write_pipe(PipeLines, FileIO(target, "wb"))
    try:
        yield source, writer
    finally:
        await writer.aclose()


def test_a_writer_waits_for_a_reader_that_is_behind():
    async def main() -> tuple[bool, int]:
        async with piped() as (source, writer):
            line = b"x" * 400_000
            writing = asyncio.create_task(writer.write_line(line))
            await asyncio.sleep(0.05)
            waited = not writing.done()
            size = 0
            while size < len(line) + 1:
                size += len(await asyncio.to_thread(os.read, source, 1 << 20))
            await writing
            os.close(source)
            return waited, size

    assert asyncio.run(main()) == (True, 400_001)


def test_nobody_waits_any_more_once_that_is_said():
    async def main() -> None:
        async with piped() as (source, writer):
            writing = asyncio.create_task(writer.write_line(b"x" * 400_000))
            await asyncio.sleep(0.02)
            writer.stop_waiting()
            async with asyncio.timeout(1):
                await writing
                await writer.write_line(b"y" * 400_000)
            os.close(source)

    asyncio.run(main())


@pytest.mark.parametrize("waiting", [True, False], ids=["while it waits", "before it writes"])
def test_a_reader_that_left_is_an_error(waiting):
    async def main() -> None:
        async with piped() as (source, writer):
            if waiting:
                writing = asyncio.create_task(writer.write_line(b"x" * 400_000))
                await asyncio.sleep(0.02)
                os.close(source)
                async with asyncio.timeout(1):
                    await writing  # what was written is lost; the next line says so
            else:
                os.close(source)
                await asyncio.sleep(0.02)
            with pytest.raises(BrokenPipeError):
                await writer.write_line(b"y")

    asyncio.run(main())


def test_files_take_every_line(tmp_path):
    async def main() -> None:
        lines = FileLines(FileIO(tmp_path / "out", "wb"))
        lines.put_line(b"one")
        await lines.write_line(b"two")
        lines.stop_waiting()
        await lines.aclose()

    asyncio.run(main())
    assert (tmp_path / "out").read_bytes() == b"one\ntwo\n"
