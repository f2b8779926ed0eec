"""Wall time and memory of the tools on large files and trees, beside upstream. See README.md.

python benchmarks/tools.py [--quick] [--runs N] [--subjects ours,upstream] [--only grep] [--write]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TypeAlias

from report import Failure, cell, machine, ratio, table, write_section
from tool_subjects import ToolSubject, link_programs, tool_subjects

_RUN_SECONDS = 180
_BARE = "bare"
_WORDS = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "lambda",
    "import",
    "return",
    "value",
    "index",
    "buffer",
    "stream",
    "async",
]
_LINE = "The quick brown fox jumps over the lazy dog, and line {:>9} ends here.\n"


@dataclass(frozen=True)
class Sizes:
    """How much there is to work on: bytes, and files of a tree."""

    large_bytes: int
    edit_bytes: int
    files: int


FULL = Sizes(1024 * 1024 * 1024, 10 * 1024 * 1024, 100_000)
QUICK = Sizes(16 * 1024 * 1024, 1024 * 1024, 2_000)


@dataclass(frozen=True)
class Case:
    """One row: a tool call, what its answer must hold, and the bare program for the same work.

    `warm_up` is a call of the same kind in `little`, where there is next to nothing to do.
    `prepare` is run before each.
    """

    name: str
    title: str
    tool: str
    little: Path
    cwd: Path
    arguments: dict[str, object]
    warm_up: dict[str, object]
    answer: str
    bare: list[str] | None = None
    prepare: Callable[[], object] = lambda: None


Key: TypeAlias = tuple[str, str]
"""Subject, case."""


@dataclass
class Results:
    """Milliseconds and MB of every run, and what went wrong."""

    wall_ms: dict[Key, list[float] | Failure] = field(default_factory=dict)
    growth_mb: dict[Key, list[float] | Failure] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


# --- what there is to work on -----------------------------------------------------------------


def write_large(path: Path, size: int) -> None:
    """A text file of lines of 71 bytes."""
    block = "".join(_LINE.format(number) for number in range(100_000)).encode()
    with path.open("wb") as file:
        for start in range(0, size, len(block)):
            file.write(block[: size - start])


def write_tree(root: Path, files: int) -> None:
    """A git repository of small files with some ignored ones; every 500th holds a needle."""
    random = Random(1)
    (root / ".git").mkdir(parents=True)
    (root / ".gitignore").write_text("*.log\nbuild/\n/dist\nnode_modules/\n", encoding="utf-8")
    for number in range(files):
        folder = root / f"package{number // 1000:03}" / f"module{number // 50 % 20:02}"
        if number % 50 == 0:
            folder.mkdir(parents=True)
        lines = [" ".join(random.choices(_WORDS, k=6)) for _ in range(10)]
        if number % 500 == 7:
            lines[5] = "here is the needle"
        kind = "log" if number % 10 == 9 else "txt" if number % 5 == 0 else "py"
        path = folder / f"file{number % 50:02}.{kind}"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def make_cases(home: Path, sizes: Sizes, programs: dict[str, str]) -> list[Case]:
    """The measurements, on files made for them."""
    large, tree = home / "large.txt", home / "tree"
    (home / "little" / ".git").mkdir(parents=True)
    little = home / "little"
    small = little / "small.txt"
    small.write_text("alpha\n", encoding="utf-8")
    write_large(large, sizes.large_bytes)
    write_tree(tree, sizes.files)
    edited = home / "edited.txt"
    middle = sizes.edit_bytes // 2 // len(_LINE.format(0))
    old = _LINE.format(middle).removeprefix("The quick ")

    def restore() -> None:
        lines = range(sizes.edit_bytes // len(_LINE.format(0)))
        edited.write_text("".join(map(_LINE.format, lines)), encoding="utf-8")
        small.write_text("alpha\n", encoding="utf-8")

    megabytes, hits = sizes.large_bytes // 1024**2, sizes.files // 500
    rg, fd = programs.get("rg"), programs.get("fd")
    searched = f"a tree of {sizes.files:,} files"
    return [
        Case(
            *("read", f"read a page of a {megabytes:,} MB file", "read", little, home),
            *({"path": "large.txt", "offset": 1000, "limit": 100}, {"path": "small.txt"}),
            *("more lines in file. Use offset=1100", ["wc", "-l", str(large)]),
        ),
        Case(
            *("edit", f"edit a {sizes.edit_bytes // 1024**2} MB file", "edit", little, home),
            {"path": "edited.txt", "edits": [{"oldText": old, "newText": old.upper()}]},
            {"path": "small.txt", "edits": [{"oldText": "alpha", "newText": "beta"}]},
            *("Successfully replaced 1 block(s)", None, restore),
        ),
        Case(
            *("bash", f"bash prints {megabytes:,} MB", "bash", little, home),
            *({"command": "cat large.txt"}, {"command": "echo"}, "Full output: "),
            ["sh", "-c", f"cat '{large}' | cat > /dev/null"],
        ),
        Case(
            *("grep", f"grep {searched}", "grep", little, tree),
            *({"pattern": "the needle", "limit": 100_000}, {"pattern": "alpha"}),
            *("here is the needle", [rg, *_RG, "the needle", "."] if rg else None),
        ),
        Case(
            *("find", f"find {hits:,} names in {searched}", "find", little, tree),
            *({"pattern": "file07.py", "limit": 100_000}, {"pattern": "*"}),
            *("file07.py", [fd, "--hidden", "--glob", "file07.py", "."] if fd else None),
        ),
    ]


_RG = ("--no-config", "--line-number", "--color=never", "--hidden", "--glob", "!.git", "--")


# --- measuring --------------------------------------------------------------------------------


def measure(results: Results, case: Case, subject: ToolSubject, env: dict[str, str]) -> None:
    """One process; its numbers join `results`. A subject that failed once is not run again."""
    key = (subject.name, case.name)
    walls = results.wall_ms.setdefault(key, [])
    growths = results.growth_mb.setdefault(key, [])
    if isinstance(walls, Failure) or isinstance(growths, Failure):
        return
    case.prepare()
    try:
        told = run_tool(case, subject, env)
    except RuntimeError as error:
        results.wall_ms[key] = results.growth_mb[key] = Failure(error)
        results.notes.append(f"- {subject.name}, {case.name}: failed: {error}")
        return
    walls.append(told["wall_ms"])
    growths.append(told["growth_mb"])


def run_tool(case: Case, subject: ToolSubject, env: dict[str, str]) -> dict[str, float]:
    """What the subject's process reports. Raises RuntimeError with one line that says why not."""
    with tempfile.TemporaryDirectory(dir=case.cwd.parent) as spilled:
        job = {
            "tool": case.tool,
            "cwd": str(case.cwd),
            "arguments": case.arguments,
            "warm_up": case.warm_up,
            "warm_up_cwd": str(case.little),
            "engine": subject.engine,
        }
        try:
            done = subprocess.run(
                [*subject.command, json.dumps(job)],
                capture_output=True,
                text=True,
                timeout=_RUN_SECONDS,
                env=env | {"TMPDIR": spilled, "HOME": spilled},
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"no result within {_RUN_SECONDS} s") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "rror" in line]
        raise RuntimeError(lines[-1][:200] if lines else f"exit status {done.returncode}")
    told = json.loads(done.stdout.splitlines()[-1])
    if case.answer not in told["text"]:
        raise RuntimeError(f"answered {told['text'][-100:]!r}")
    return told


def measure_bare(results: Results, case: Case) -> None:
    """The bare program for the same work, its output read and dropped."""
    if case.bare is None:
        return
    walls = results.wall_ms.setdefault((_BARE, case.name), [])
    if isinstance(walls, Failure):
        return
    started = time.perf_counter()
    done = subprocess.run(
        case.bare, cwd=case.cwd, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    walls.append((time.perf_counter() - started) * 1000)
    if done.returncode:
        results.wall_ms[_BARE, case.name] = Failure(f"exit status {done.returncode}")


def report(cases: list[Case], subjects: list[ToolSubject], results: Results, runs: int) -> str:
    """The tables of README.md."""
    walls = ["wall, ms", _BARE]
    growths = ["memory growth, MB"]
    for subject in subjects:
        walls += [subject.name, "x bare"]
        growths.append(subject.name)
    wall_rows: list[list[str]] = []
    growth_rows: list[list[str]] = []
    for case in cases:
        bare = results.wall_ms.get((_BARE, case.name))
        wall_row, growth_row = [case.title, cell(bare, 0)], [case.title]
        for subject in subjects:
            key = (subject.name, case.name)
            wall = results.wall_ms.get(key)
            wall_row += [cell(wall, 0), ratio(wall, bare)]
            growth_row.append(cell(results.growth_mb.get(key)))
        wall_rows.append(wall_row)
        growth_rows.append(growth_row)
    head = f"Medians of {runs}. {machine()}."
    return "\n\n".join([head, table(walls, wall_rows), table(growths, growth_rows)])


def main() -> None:
    """Parse the command line, make the files, measure, print."""
    parser = argparse.ArgumentParser(description="Wall time and memory of the tools.")
    parser.add_argument("--quick", action="store_true", help="small sizes, one run")
    parser.add_argument("--runs", type=int, help="how often each is run (default 5)")
    parser.add_argument("--subjects", help="some of ours,upstream")
    parser.add_argument("--only", help="some of read,edit,bash,grep,find")
    parser.add_argument("--write", action="store_true", help="put the tables into README.md")
    options = parser.parse_args()
    runs = options.runs or (1 if options.quick else 5)
    subjects, missing = tool_subjects(options.subjects.split(",") if options.subjects else None)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        programs, env = link_programs(home / "programs")
        cases = make_cases(home, QUICK if options.quick else FULL, programs)
        missing += [f"- {n}: not installed" for n in ("rg", "fd") if n not in programs]
        if options.only:
            cases = [case for case in cases if case.name in options.only.split(",")]
        results = Results()
        for case in cases:
            for run in range(runs):
                print(f"{case.name}: run {run + 1} of {runs}", file=sys.stderr)
                measure_bare(results, case)
                for subject in subjects:
                    if subject.engine is None or case.tool in ("grep", "find"):
                        measure(results, case, subject, env)
    notes = "\n".join([*results.notes, *missing])
    text = "\n\n".join(filter(None, [report(cases, subjects, results, runs), notes]))
    print(text)
    if options.write:
        write_section("tools", text)


if __name__ == "__main__":
    main()
