"""CPU per turn and memory per agent, ours beside peers, with scripted models. See README.md.

python benchmarks/agent_loop.py [--quick] [--runs N] [--subjects ours,upstream] [--only idle]
[--write]
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from typing import TypeAlias

from peers import AGENT_SUBJECTS, Environment, Subject, prepare_all
from report import Failure, cell, machine, ratio, table, write_section
from subject_process import run_subject

_BASE = "ours"
_PROMPT = "Do what there is to do."
_TEXT = ("I look that ", "up in the ", "file that ", "you named.")
_ARGUMENTS = ('{"path":', ' "README.md"}')
_SYSTEM_PROMPT = "You are a careful assistant. You look things up before you answer. " * 8


@dataclass(frozen=True)
class Benchmark:
    """One column: prompts of so many turns, or so many agents held.

    `warm_up` is the turns of the prompts before; for memory it is short, since what it frees is
    used again first.
    """

    name: str
    title: str
    mode: str
    tool: str = "async"
    turns: int = 0
    warm_up: int = 1
    agents: int = 0


@dataclass(frozen=True)
class Plan:
    """What one call of this script measures."""

    turns: tuple[Benchmark, ...]
    memory: tuple[Benchmark, ...]


def make_plan(few: int, many: int, agents: int) -> Plan:
    """The measurements, in these sizes."""
    half = few // 2
    return Plan(
        (
            Benchmark("few", f"{few:,} turns", "turns", turns=few, warm_up=half),
            Benchmark("many", f"{many:,} turns", "turns", turns=many, warm_up=half),
            Benchmark(
                "plain", f"plain tool, {few:,} turns", "turns", "plain", turns=few, warm_up=half
            ),
        ),
        (
            Benchmark("idle", "new", "idle", agents=agents),
            Benchmark("answered", "after a prompt", "answered", agents=agents),
            Benchmark("running", "inside its tool", "running", agents=agents),
        ),
    )


FULL = make_plan(100, 1_000, 1_000)
QUICK = make_plan(20, 100, 100)

Key: TypeAlias = tuple[str, str]
"""Subject, benchmark."""


@dataclass
class Results:
    """Microseconds of CPU per turn, or KB per agent, of every run; and what is to be said."""

    values: dict[Key, list[float] | Failure] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def measure_all(
    benchmarks: list[Benchmark], subjects: dict[Subject, Environment], runs: int
) -> Results:
    """Every benchmark of every subject, `runs` times, interleaved."""
    results = Results()
    for bench in benchmarks:
        for run in range(runs):
            print(f"{bench.name}: run {run + 1} of {runs}", file=sys.stderr)
            for subject, environment in subjects.items():
                measure_once(results, bench, subject, environment)
    return results


def measure_once(
    results: Results, bench: Benchmark, subject: Subject, environment: Environment
) -> None:
    """One process; its number joins `results`. A subject that failed once is not run again."""
    known = results.values.setdefault((subject.name, bench.name), [])
    if isinstance(known, Failure):
        return
    try:
        known.append(run_once(bench, environment))
    except RuntimeError as error:
        results.values[subject.name, bench.name] = Failure(error)
        results.notes.append(f"{subject.name}, {bench.name}: failed: {error}")


def run_once(bench: Benchmark, environment: Environment) -> float:
    """The number of one run. Raises RuntimeError with one line that says why there is none."""
    job = {
        "mode": bench.mode,
        "tool": bench.tool,
        "turns": bench.turns,
        "warm_up": bench.warm_up,
        "agents": bench.agents,
        "system_prompt": _SYSTEM_PROMPT,
        "prompt": _PROMPT,
        "text": _TEXT,
        "arguments": _ARGUMENTS,
    }
    told = run_subject(environment, job)
    if bench.mode != "turns":
        return told["rss_growth_kb"] / told["agents"]
    wanted = told["turns"] * (len(_TEXT) + len(_ARGUMENTS))
    if told["events"] < wanted:
        raise RuntimeError(f"saw {told['events']} events, but {wanted} pieces were streamed")
    return told["cpu_seconds"] * 1e6 / told["turns"]


def report(plan: Plan, labels: dict[str, str], results: Results, runs: int) -> str:
    """The tables of README.md, of what was measured."""
    agents = plan.memory[0].agents
    parts = [
        f"Medians of {runs}. {machine()}.",
        _table("CPU per turn", plan.turns, "µs", labels, results),
        _table(f"{agents:,} agents: memory per agent", plan.memory, "KB", labels, results),
        "\n".join(f"- {note}" for note in results.notes),
    ]
    return "\n\n".join(part for part in parts if part)


def _table(
    title: str,
    benchmarks: tuple[Benchmark, ...],
    unit: str,
    labels: dict[str, str],
    results: Results,
) -> str:
    """Per benchmark: the number, and how many times ours it is."""
    shown = [bench for bench in benchmarks if any(key[1] == bench.name for key in results.values)]
    if not shown:
        return ""
    header = ["subject"]
    for bench in shown:
        header += [f"{bench.title}, {unit}", f"x {_BASE}"]
    rows: list[list[str]] = []
    for name, label in labels.items():
        row = [label]
        for bench in shown:
            found = results.values.get((name, bench.name))
            row += [cell(found, 0 if unit == "µs" else 1)]
            row += [ratio(found, results.values.get((_BASE, bench.name)))]
        rows.append(row)
    return f"### {title}\n\n{table(header, rows)}"


def main() -> None:
    """Parse the command line, install, measure, print."""
    names = [subject.name for subject in AGENT_SUBJECTS]
    everything = [bench.name for bench in (*FULL.turns, *FULL.memory)]
    parser = argparse.ArgumentParser(description="CPU and memory of agents, beside peers.")
    parser.add_argument("--quick", action="store_true", help="small sizes, one run")
    parser.add_argument("--runs", type=int, help="how often each is run (default 5)")
    parser.add_argument("--subjects", help=f"some of {','.join(names)}")
    parser.add_argument("--only", help=f"some of {','.join(everything)}")
    parser.add_argument("--write", action="store_true", help="put the tables into README.md")
    options = parser.parse_args()
    runs = options.runs or (1 if options.quick else 5)
    plan = QUICK if options.quick else FULL
    wanted = options.subjects.split(",") if options.subjects else names
    chosen = options.only.split(",") if options.only else everything
    ready, missing = prepare_all([s for s in AGENT_SUBJECTS if s.name in wanted])
    benchmarks = [bench for bench in (*plan.turns, *plan.memory) if bench.name in chosen]
    results = measure_all(benchmarks, ready, runs)
    labels = {s.name: f"{s.name} {environment.version}" for s, environment in ready.items()}
    text = "\n".join([report(plan, labels, results, runs), *missing])
    print(text)
    if options.write:
        write_section("agents", text)


if __name__ == "__main__":
    main()
