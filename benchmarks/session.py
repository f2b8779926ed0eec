"""CPU and memory of session files, ours beside plain json and upstream. See README.md.

python benchmarks/session.py [--quick] [--runs N] [--subjects ours,json] [--write]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from peers import SESSION_SUBJECTS, Environment, Subject, prepare_all
from report import Failure, cell, machine, ratio, table, write_section
from session_files import SESSION_CWD, Written, write_session, write_sessions
from subject_process import run_subject

_TEXT = "x" * 200
_COMPACT_EVERY = 500


@dataclass(frozen=True)
class Plan:
    """Sizes in bytes: of the long sessions, of those that are appended to, of those in a list."""

    long: int
    appended: tuple[int, ...]
    appends: int
    listed: int
    sessions: int


FULL = Plan(105_000_000, (1_000, 10_000_000, 100_000_000), 1_000, 30_000, 1_000)
QUICK = Plan(2_000_000, (1_000, 100_000, 1_000_000), 100, 10_000, 50)


@dataclass(frozen=True)
class Benchmark:
    """One number per subject. `expected` is what a run must have counted."""

    name: str
    mode: str
    path: Path
    warm_up: Path
    expected: int


@dataclass
class Results:
    """By subject and benchmark, of every run: CPU in seconds, peak memory in MB."""

    cpu: dict[tuple[str, str], list[float] | Failure] = field(default_factory=dict)
    peak_mb: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Files:
    """What was made for a run of this script."""

    plain: Written
    compacted: Written
    benchmarks: list[Benchmark]


def make_files(plan: Plan, directory: Path) -> Files:
    """Write all session files."""
    small = directory / "small" / "small.jsonl"
    small.parent.mkdir()
    write_session(small, 10_000)
    plain = write_session(directory / "plain.jsonl", plan.long)
    compacted = write_session(
        directory / "compacted.jsonl", plan.long, compact_every=_COMPACT_EVERY
    )
    found = [
        Benchmark("open", "open", plain.path, small, plain.entries),
        Benchmark("all", "context", plain.path, small, plain.context),
        Benchmark("compacted", "context", compacted.path, small, compacted.context),
    ]
    for size in plan.appended:
        path = directory / f"append-{size}.jsonl"
        write_session(path, size)
        found.append(Benchmark(f"append-{size}", "append", path, small, plan.appends))
    write_sessions(directory / "many", plan.sessions, plan.listed)
    found.append(Benchmark("list", "list", directory / "many", small.parent, plan.sessions))
    return Files(plain, compacted, found)


def measure_all(
    benchmarks: list[Benchmark], subjects: dict[Subject, Environment], plan: Plan, runs: int
) -> Results:
    """Every benchmark of every subject, `runs` times, interleaved."""
    results = Results()
    for bench in benchmarks:
        print(f"{bench.name}: {runs} runs", file=sys.stderr)
        for _ in range(runs):
            for subject, environment in subjects.items():
                measure_once(results, bench, subject, environment, plan)
    return results


def measure_once(
    results: Results, bench: Benchmark, subject: Subject, environment: Environment, plan: Plan
) -> None:
    """One process; its numbers join `results`. A subject that failed once is not run again."""
    key = (subject.name, bench.name)
    known = results.cpu.setdefault(key, [])
    if isinstance(known, Failure):
        return
    with tempfile.TemporaryDirectory() as scratch:
        path, warm_up = bench.path, bench.warm_up
        if bench.mode != "list":  # whoever opens a file may write to it
            path = Path(shutil.copy(path, scratch))
            warm_up = Path(shutil.copy(warm_up, scratch))
        job = {
            "mode": bench.mode,
            "path": str(path),
            "warm_up": str(warm_up),
            "appends": plan.appends,
            "text": _TEXT,
            "cwd": SESSION_CWD,
        }
        try:
            told = run_subject(environment, job)
            if told["count"] != bench.expected:
                raise RuntimeError(f"counted {told['count']} instead of {bench.expected}")
        except RuntimeError as error:
            results.cpu[key] = Failure(error)
            results.notes.append(f"{subject.name}, {bench.name}: failed: {error}")
            return
    known.append(told["cpu_seconds"])
    results.peak_mb.setdefault(key, []).append(told["peak_rss_kb"] / 1024)


def report(
    plan: Plan, files: Files, labels: dict[str, str], results: Results, missing: list[str]
) -> str:
    """The tables of README.md."""
    size = files.plain.path.stat().st_size / 1e6
    long = f"A session of {size:.0f} MB and {files.plain.entries:,} entries: CPU and peak memory"
    many = f"A list of {plan.sessions:,} sessions of {plan.listed // 1000} KB"
    parts = [
        f"### {long}\n\n{_long_table(files, labels, results)}",
        f"### One append, by the size of the file: CPU\n\n{_append_table(plan, labels, results)}",
        f"### {many}\n\n{_list_table(labels, results)}",
        "\n".join([f"- {note}" for note in results.notes] + missing),
    ]
    return "\n\n".join(part for part in parts if part)


def _long_table(files: Files, labels: dict[str, str], results: Results) -> str:
    header = ["subject", "open, s", "open and context of all, s", "x ours", "peak memory, MB"]
    header += [f"the same, context compacted to {files.compacted.context}, s", "peak memory, MB"]
    rows: list[list[str]] = []
    for name, label in labels.items():
        found = results.cpu.get((name, "all"))
        row = [label, cell(results.cpu.get((name, "open")), 2), cell(found, 2)]
        row += [ratio(found, results.cpu.get(("ours", "all")))]
        row += [cell(results.peak_mb.get((name, "all")), 0)]
        row += [cell(results.cpu.get((name, "compacted")), 2)]
        row += [cell(results.peak_mb.get((name, "compacted")), 0)]
        rows.append(row)
    return table(header, rows)


def _append_table(plan: Plan, labels: dict[str, str], results: Results) -> str:
    header = ["subject", *(f"{_size(size)}, µs" for size in plan.appended)]
    rows: list[list[str]] = []
    for name, label in labels.items():
        row = [label]
        for size in plan.appended:
            found = results.cpu.get((name, f"append-{size}"))
            if isinstance(found, list):
                found = [seconds * 1e6 / plan.appends for seconds in found]
            row.append(cell(found, 1))
        rows.append(row)
    return table(header, rows)


def _size(size: int) -> str:
    return f"{size // 1_000_000} MB" if size >= 1_000_000 else f"{size // 1000} KB"


def _list_table(labels: dict[str, str], results: Results) -> str:
    header = ["subject", "CPU, s", "x ours", "peak memory, MB"]
    rows: list[list[str]] = []
    for name, label in labels.items():
        found = results.cpu.get((name, "list"))
        row = [label, cell(found, 2), ratio(found, results.cpu.get(("ours", "list")))]
        rows.append([*row, cell(results.peak_mb.get((name, "list")), 0)])
    return table(header, rows)


def main() -> None:
    """Parse the command line, install, measure, print."""
    names = [subject.name for subject in SESSION_SUBJECTS]
    parser = argparse.ArgumentParser(description="CPU and memory of session files, beside peers.")
    parser.add_argument("--quick", action="store_true", help="small sizes, one run")
    parser.add_argument("--runs", type=int, help="how often each is run (default 5)")
    parser.add_argument("--subjects", help=f"some of {','.join(names)}")
    parser.add_argument("--write", action="store_true", help="put the tables into README.md")
    options = parser.parse_args()
    runs = options.runs or (1 if options.quick else 5)
    plan = QUICK if options.quick else FULL
    wanted = options.subjects.split(",") if options.subjects else names
    ready, missing = prepare_all([s for s in SESSION_SUBJECTS if s.name in wanted])
    with tempfile.TemporaryDirectory() as directory:
        files = make_files(plan, Path(directory))
        results = measure_all(files.benchmarks, ready, plan, runs)
        labels = {s.name: f"{s.name} {environment.version}" for s, environment in ready.items()}
        text = report(plan, files, labels, results, missing)
    text = f"Medians of {runs}. {machine()}.\n\n{text}"
    print(text)
    if options.write:
        write_section("session", text)


if __name__ == "__main__":
    main()
