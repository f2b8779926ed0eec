"""What an import costs, ours beside peers. See README.md.

python benchmarks/imports.py [--quick] [--runs N] [--subjects ours,bare] [--write]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass, field

from peers import SUBJECTS, child_environment, prepare_all
from report import Failure, cell, machine, table, write_section

_RUN_SECONDS = 120
_INTERPRETER = "(interpreter alone)"

# The peak comes from the child's own view: `ru_maxrss` of a child begins at its parent's size.
_IMPORT = """
import {names}
import time
cpu = time.process_time()
try:
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
except OSError:
    import resource, sys
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak = peak // 1024 if sys.platform == "darwin" else peak
print(cpu, peak)
"""


@dataclass(frozen=True)
class Target:
    """One row: an interpreter and what it imports."""

    label: str
    python: str
    names: str


@dataclass
class Cost:
    """What every fresh interpreter took: CPU in milliseconds, peak memory in MB."""

    cpu_ms: list[float] = field(default_factory=list)
    peak_mb: list[float] = field(default_factory=list)
    wall_ms: list[float] = field(default_factory=list)


def find_targets(wanted: list[str]) -> tuple[list[Target], list[str]]:
    """The rows, and why others are missing."""
    targets = [Target(_INTERPRETER, sys.executable, "sys")]
    ready, missing = prepare_all([s for s in SUBJECTS if s.name in wanted and s.imports])
    for subject, environment in ready.items():
        who = f"{subject.name} {environment.version}"
        targets += [
            Target(f"{who}: `import {names}`", environment.command[0], names)
            for names in subject.imports
        ]
    return targets, missing


def measure_import(target: Target, cost: Cost) -> None:
    """One fresh interpreter. Raises RuntimeError with one line that says what failed."""
    started = time.perf_counter()
    done = subprocess.run(
        [target.python, "-c", _IMPORT.format(names=target.names)],
        capture_output=True,
        text=True,
        timeout=_RUN_SECONDS,
        env=child_environment(),
        check=False,
    )
    wall = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1][:200])
    cpu, peak = done.stdout.split()[-2:]
    cost.cpu_ms.append(float(cpu) * 1000)
    cost.peak_mb.append(float(peak) / 1024)
    cost.wall_ms.append(wall * 1000)


def main() -> None:
    """Parse the command line, install, measure, print."""
    parser = argparse.ArgumentParser(description="What imports cost.")
    parser.add_argument("--quick", action="store_true", help="three interpreters each")
    parser.add_argument("--runs", type=int, help="how many interpreters each (default 15)")
    parser.add_argument("--subjects", help=f"some of {','.join(s.name for s in SUBJECTS)}")
    parser.add_argument("--write", action="store_true", help="put the tables into README.md")
    options = parser.parse_args()
    runs = options.runs or (3 if options.quick else 15)
    wanted = options.subjects.split(",") if options.subjects else [s.name for s in SUBJECTS]
    targets, notes = find_targets(wanted)
    costs: dict[Target, Cost | Failure] = {target: Cost() for target in targets}
    for run in range(runs + 1):  # the first fills the caches of the disk and of bytecode
        print(f"imports: run {run} of {runs}", file=sys.stderr)
        for target in targets:
            cost = costs[target]
            if isinstance(cost, Cost):
                try:
                    measure_import(target, cost if run else Cost())
                except (RuntimeError, subprocess.TimeoutExpired) as error:
                    costs[target] = Failure(error)
                    notes.append(f"- {target.label}: failed: {error}")
    text = report(costs, notes, runs)
    print(text)
    if options.write:
        write_section("imports", text)


def report(costs: dict[Target, Cost | Failure], notes: list[str], runs: int) -> str:
    """The table of README.md."""
    rows: list[list[str]] = []
    for target, cost in costs.items():
        if isinstance(cost, Failure):
            rows.append([target.label, "failed", "failed", "failed"])
        else:
            rows.append(
                [target.label, cell(cost.cpu_ms, 0), cell(cost.peak_mb), cell(cost.wall_ms, 0)]
            )
    header = ["fresh interpreter", "CPU, ms", "peak memory, MB", "wall, ms"]
    parts = [f"Medians of {runs}. {machine()}.", "", table(header, rows)]
    return "\n".join([*parts, *(["", *notes] if notes else [])])


if __name__ == "__main__":
    main()
