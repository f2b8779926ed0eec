"""Tables: medians as Markdown, on the screen and between the markers of README.md."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from statistics import median

__all__ = ("Failure", "cell", "machine", "ratio", "table", "write_section")

README = Path(__file__).parent / "README.md"


class Failure(str):
    """Why there is no number."""

    __slots__ = ()


def cell(values: Sequence[float] | Failure | None, digits: int = 1) -> str:
    """The median of several runs, `failed`, or a dash for what does not apply."""
    if values is None:
        return "-"
    return "failed" if isinstance(values, Failure) else f"{median(values):,.{digits}f}"


def ratio(values: Sequence[float] | Failure | None, base: Sequence[float] | Failure | None) -> str:
    """How many times `base` the median is."""
    if not values or not base or isinstance(values, Failure) or isinstance(base, Failure):
        return "-"
    return f"{median(values) / median(base):.2f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are numbers."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = ["| " + " | ".join(_padded(row, widths)) + " |" for row in (list(header), rule, *rows)]
    return "\n".join(lines)


def _padded(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    first, *others = zip(row, widths, strict=True)
    return [first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]


def machine() -> str:
    """The machine in words: no host names, no paths."""
    return (
        f"{os.cpu_count()} cores, {platform.system()} on {platform.machine()}, "
        f"{platform.python_implementation()} {platform.python_version()}, "
        f"load average {os.getloadavg()[0]:.1f}"
    )


def write_section(name: str, text: str) -> None:
    """Replace what stands between the markers of section `name` in README.md."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    before, found, rest = README.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"README.md has no section {name}")
    README.write_text(f"{before}{begin}\n{text}\n\n{end}{after}", encoding="utf-8")
