"""CPU and memory of streaming, ours beside peers, over loopback. See README.md.

python benchmarks/streaming.py [--quick] [--runs N] [--subjects ours,bare] [--only bulk] [--write]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from peers import SUBJECTS, Environment, Subject, prepare_all
from report import Failure, cell, machine, ratio, table, write_section
from server import PAUSE_SECONDS
from subject_process import run_subject
from wire_bodies import Case

_LATE = 1.3
_WIRES = {"anthropic": "Anthropic Messages", "openai": "OpenAI Chat Completions"}
_RESPONSES_WIRES = {"responses": "OpenAI Responses", "codex": "Codex over WebSocket"}
_NAMES = _WIRES | _RESPONSES_WIRES


@dataclass(frozen=True)
class Benchmark:
    """One column: a case and how many streams of it, `repeat`, `concurrent` or `hold`."""

    name: str
    mode: str
    streams: int
    case: Case
    wires: Mapping[str, str] = field(default_factory=lambda: _WIRES)

    def over_responses(self) -> Benchmark:
        """The same on the wires of OpenAI's Responses."""
        return replace(self, name=f"responses-{self.name}", wires=_RESPONSES_WIRES)


@dataclass(frozen=True)
class Plan:
    """What one call of this script measures."""

    paced: Benchmark
    bulk: Benchmark
    tool_few: Benchmark
    tool_many: Benchmark
    memory: Benchmark

    def all(self) -> tuple[Benchmark, ...]:
        """In the order of the tables."""
        both = (self.paced, self.bulk, self.tool_few, self.tool_many, self.memory)
        return (*both, *self.responses())

    def responses(self) -> tuple[Benchmark, Benchmark]:
        """What is measured of Responses: concurrent and bulk."""
        return (self.paced.over_responses(), self.bulk.over_responses())


FULL = Plan(
    Benchmark("paced", "concurrent", 100, Case(100, 5, "text", "paced")),
    Benchmark("bulk", "repeat", 1, Case(20_000, 5, "text", "bulk")),
    Benchmark("tool-few", "repeat", 1, Case(2_000, 50, "tool", "bulk")),
    Benchmark("tool-many", "repeat", 1, Case(20_000, 5, "tool", "bulk")),
    Benchmark("memory", "hold", 1_000, Case(20, 5, "text", "held")),
)
QUICK = Plan(
    Benchmark("paced", "concurrent", 20, Case(25, 5, "text", "paced")),
    Benchmark("bulk", "repeat", 1, Case(2_000, 5, "text", "bulk")),
    Benchmark("tool-few", "repeat", 1, Case(400, 50, "tool", "bulk")),
    Benchmark("tool-many", "repeat", 1, Case(4_000, 5, "tool", "bulk")),
    Benchmark("memory", "hold", 100, Case(20, 5, "text", "held")),
)

Key: TypeAlias = tuple[str, str, str]
"""Subject, wire, benchmark."""
Values: TypeAlias = "list[float] | Failure"


@dataclass
class Results:
    """Microseconds of CPU per delta, or KB per stream, of every run; and what is to be said."""

    values: dict[Key, Values] = field(default_factory=dict)
    reads: dict[str, list[float]] = field(default_factory=dict)
    late: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def fell_behind(self, who: str) -> None:
        """Keep, once, who got several events in one read for lack of speed."""
        if who not in self.late:
            self.late.append(who)


@contextmanager
def model_server() -> Iterator[str]:
    """The server's origin while its process runs."""
    server = [sys.executable, str(Path(__file__).with_name("server.py"))]
    with subprocess.Popen(server, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()


def measure_all(
    benchmarks: list[Benchmark], subjects: dict[Subject, Environment], url: str, runs: int
) -> Results:
    """Every benchmark of every subject, `runs` times, interleaved."""
    results = Results()
    for bench in benchmarks:
        for run in range(runs):
            print(f"{bench.name}: run {run + 1} of {runs}", file=sys.stderr)
            for wire in bench.wires:
                for subject, environment in subjects.items():
                    if wire in subject.wires:
                        measure_once(results, bench, wire, subject, environment, url)
    return results


def measure_once(
    results: Results,
    bench: Benchmark,
    wire: str,
    subject: Subject,
    environment: Environment,
    url: str,
) -> None:
    """One process; its number joins `results`. A subject that failed once is not run again."""
    known = results.values.setdefault((subject.name, wire, bench.name), [])
    if isinstance(known, Failure):
        return
    try:
        told = run_once(bench, wire, environment, url)
    except RuntimeError as error:
        results.values[subject.name, wire, bench.name] = Failure(error)
        results.notes.append(f"{subject.name}, {_NAMES[wire]}, {bench.name}: failed: {error}")
        return
    if bench.mode == "hold":
        known.append(told["rss_growth_kb"] / told["streams"])
        return
    known.append(told["cpu_seconds"] * 1e6 / (told["streams"] * bench.case.deltas))
    if bench.mode == "concurrent":
        if told["wall_seconds"] > _LATE * PAUSE_SECONDS * (bench.case.deltas + 2):
            results.fell_behind(f"{subject.name} ({_NAMES[wire]})")
        if told["reads"]:
            results.reads.setdefault(wire, []).append(told["events"] / told["reads"])


def run_once(bench: Benchmark, wire: str, environment: Environment, url: str) -> dict[str, float]:
    """What the subject's process reports. Raises RuntimeError with one line that says why not."""
    job = {
        "url": url,
        "wire": wire,
        "mode": bench.mode,
        "streams": bench.streams,
        "prompt": str(bench.case),
        "warm_up": str(Case(10, 5, bench.case.kind, "bulk")),
    }
    told = run_subject(environment, job)
    if bench.mode != "hold" and told["events"] < told["streams"] * bench.case.deltas:
        sent = told["streams"] * bench.case.deltas
        raise RuntimeError(f"saw {told['events']} events of {sent} that were sent")
    return told


def report(plan: Plan, labels: dict[str, str], results: Results, runs: int) -> str:
    """The tables of README.md, of what was measured."""
    memory = plan.memory
    responses_paced, responses_bulk = plan.responses()
    parts = [
        f"Medians of {runs}. {machine()}.",
        _paced_table(plan.paced, labels, results),
        _bulk_table(plan.bulk, labels, results),
        _paced_table(responses_paced, labels, results),
        _bulk_table(responses_bulk, labels, results),
        _tool_table(plan, labels, results),
        _pair_table(
            f"{memory.streams:,} open streams: memory per stream",
            *(memory, "KB", 1, labels, results),
        ),
    ]
    notes = [
        f"- Events per read of bare, concurrent, {_NAMES[wire]}: {cell(reads, 2)}"
        for wire, reads in results.reads.items()
    ]
    if results.late:
        notes.append(f"- Fell behind the server, which flatters them: {', '.join(results.late)}")
    notes += [f"- {note}" for note in results.notes]
    return "\n\n".join(part for part in [*parts, "\n".join(notes)] if part)


def _paced_table(bench: Benchmark, labels: dict[str, str], results: Results) -> str:
    title = f"{bench.streams} concurrent streams, one event per read: CPU per event"
    return _pair_table(title, bench, "µs", 1, labels, results)


def _bulk_table(bench: Benchmark, labels: dict[str, str], results: Results) -> str:
    title = f"One bulk stream of {bench.case.deltas:,} deltas: CPU per event"
    return _pair_table(title, bench, "µs", 2, labels, results)


def _pair_table(
    title: str,
    bench: Benchmark,
    unit: str,
    digits: int,
    labels: dict[str, str],
    results: Results,
) -> str:
    """Per wire: the number, and how many times the floor it is."""
    values = results.values
    header = ["subject"]
    for wire in bench.wires.values():
        header += [f"{wire}, {unit}", "x bare"]
    rows: list[list[str]] = []
    for name, label in labels.items():
        row = [label]
        for wire in bench.wires:
            found = values.get((name, wire, bench.name))
            row += [cell(found, digits), ratio(found, values.get(("bare", wire, bench.name)))]
        if any(text != "-" for text in row[1:]):
            rows.append(row)
    measured = any(key[2] == bench.name for key in values)
    return f"### {title}\n\n{table(header, rows)}" if measured else ""


def _tool_table(plan: Plan, labels: dict[str, str], results: Results) -> str:
    few, many, bulk = plan.tool_few, plan.tool_many, plan.bulk
    size = many.case.deltas * many.case.chars // 1000
    header = ["subject"]
    for wire in ("Anthropic", "OpenAI"):
        header += [f"{wire}: {few.case.deltas:,} deltas, µs"]
        header += [f"{many.case.deltas:,} deltas, µs", "x its text stream"]
    rows: list[list[str]] = []
    for name, label in labels.items():
        row = [label]
        for wire in _WIRES:
            found = results.values.get((name, wire, many.name))
            row += [cell(results.values.get((name, wire, few.name)), 2), cell(found, 2)]
            row += [ratio(found, results.values.get((name, wire, bulk.name)))]
        rows.append(row)
    measured = any(key[2] == many.name for key in results.values)
    return f"### A {size} KB tool call: CPU per event\n\n{table(header, rows)}" if measured else ""


def main() -> None:
    """Parse the command line, install, measure, print."""
    parser = argparse.ArgumentParser(description="CPU and memory of streaming, beside peers.")
    parser.add_argument("--quick", action="store_true", help="small sizes, one run")
    parser.add_argument("--runs", type=int, help="how often each is run (default 5)")
    parser.add_argument("--subjects", help=f"some of {','.join(s.name for s in SUBJECTS)}")
    parser.add_argument("--only", help=f"some of {','.join(b.name for b in FULL.all())}")
    parser.add_argument("--write", action="store_true", help="put the tables into README.md")
    options = parser.parse_args()
    runs = options.runs or (1 if options.quick else 5)
    plan = QUICK if options.quick else FULL
    wanted = options.subjects.split(",") if options.subjects else [s.name for s in SUBJECTS]
    ready, missing = prepare_all([s for s in SUBJECTS if s.name in wanted])
    with model_server() as url:
        chosen = [b for b in plan.all() if not options.only or b.name in options.only.split(",")]
        results = measure_all(chosen, ready, url, runs)
    labels = {s.name: f"{s.name} {environment.version}" for s, environment in ready.items()}
    text = "\n".join([report(plan, labels, results, runs), *missing])
    print(text)
    if options.write:
        write_section("streaming", text)


if __name__ == "__main__":
    main()
