from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from pi_tools.output import CommandOutput, OutputView
from pi_tools.truncate import truncate_tail

PIECE = st.builds(
    lambda part, times: part * times,
    st.sampled_from([b"a", b"\n", b"\xe2\x82\xac", b"\xe2", b"\xff", b"line of text\n"]),
    st.sampled_from([1, 2, 1999, 2001, 30_000, 51_200, 110_000]),
)


async def printed(pieces: list[bytes]) -> OutputView:
    output = CommandOutput()
    for piece in pieces:
        output.feed(piece)
    await output.aclose()
    assert output.feed(b"too late") is None
    return output.view()


@settings(max_examples=60)
@given(st.lists(PIECE, max_size=5))
@example([b"a" * 110_000, b"\n"])
def test_view_is_the_tail_of_everything_printed(pieces: list[bytes]) -> None:
    view = asyncio.run(printed(pieces))
    whole = b"".join(pieces)
    text = whole.decode("utf-8", "replace")
    assert view.truncation == truncate_tail(text)
    if view.truncation.truncated:
        lines = text.removesuffix("\n").split("\n")
        assert view.last_line_bytes == len(lines[-1].encode())
        assert view.full_output_path is not None
        assert Path(view.full_output_path).read_bytes() == whole
        Path(view.full_output_path).unlink()
    else:
        assert view.full_output_path is None


def test_file_that_cannot_be_written_is_told(run: Any, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    view = run(printed([b"x\n" * 2500, b"end\n"]))
    assert view.text().startswith("x\n")
    assert (
        "\nend\n\n[Showing lines 502-2501 of 2501. Full output could not be saved: " in view.text()
    )
    assert "ENOENT: no such file or directory, open '" in view.text()
    assert set(view.details()) == {"truncation"}
