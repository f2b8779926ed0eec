"""The RPC server and its client, ours beside upstream's on Node. See README.md. Linux only.

python benchmarks/rpc.py [--quick] [--runs N] [--subjects ours,upstream] [--write]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TypeAlias

from peers import Environment, InstallError, child_environment
from report import Failure, cell, machine, ratio, table, write_section
from streaming import model_server
from subject_process import run_subject
from upstream_rpc import prepare_upstream

_BASE = "ours"
_HERE = Path(__file__).parent
_END_SECONDS = 30
_CHUNK_BYTES = 1 << 16
_FULL_DELTAS, _QUICK_DELTAS = 20_000, 2_000
_START, _STREAM, _CLIENT = "start", "stream", "client"


@dataclass(frozen=True)
class RpcSubject:
    """A server's command, and the interpreter and script of a client for it."""

    name: str
    server: tuple[str, ...]
    client: Environment


Values: TypeAlias = dict[tuple[str, str, str], list[float] | Failure]
"""By subject, measurement and unit: the value of every run."""


@dataclass
class Results:
    """What was measured, and what is to be said of it."""

    values: Values = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, subject: RpcSubject, what: str, **told: float) -> None:
        """Keep the values of one run."""
        for unit, value in told.items():
            found = self.values.setdefault((subject.name, what, unit), [])
            if isinstance(found, list):
                found.append(value)


def find_subjects(wanted: list[str]) -> tuple[list[RpcSubject], list[str]]:
    """Who can be measured, and why others cannot."""
    subjects: list[RpcSubject] = []
    missing: list[str] = []
    if _BASE in wanted:
        client = (sys.executable, str(_HERE / "subjects/rpc_client_ours.py"))
        server = (sys.executable, "-m", "pi_sdk.rpc")
        subjects.append(
            RpcSubject(_BASE, server, Environment(client, metadata.version("pi-stack")))
        )
    if "upstream" in wanted:
        try:
            node, home, version = prepare_upstream(_HERE / "subjects/rpc_client_upstream.mjs")
        except InstallError as error:
            missing.append(f"- upstream: not measured: {error}")
        else:
            bundle = home / "package/dist/bundle"
            client = (node, str(home / "rpc_client_upstream.mjs"))
            subjects.append(
                RpcSubject("upstream", (node, str(bundle / "cli.js")), Environment(client, version))
            )
    return subjects, missing


# --- one server process ---------------------------------------------------------------------------


class Server:
    """A running server whose output is read and hardly looked at."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._rest = b""

    def send(self, **command: str) -> None:
        """Write a command."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(command).encode() + b"\n")

    def read_until(self, mark: bytes) -> list[bytes]:
        """The lines up to one that holds `mark`. Raises RuntimeError if the server ends."""
        assert self._process.stdout
        lines: list[bytes] = []
        while True:
            *whole, self._rest = self._rest.split(b"\n")
            lines += whole
            if any(mark in line for line in whole):
                return lines
            chunk = self._process.stdout.read(_CHUNK_BYTES)
            if not chunk:
                raise RuntimeError("the server ended")
            self._rest += chunk

    def usage(self) -> tuple[float, float]:
        """CPU in seconds so far, and the peak of its memory in MB."""
        cpu = 0.0
        for thread in Path(f"/proc/{self._process.pid}/task").iterdir():
            cpu += int((thread / "schedstat").read_text(encoding="ascii").split()[0]) / 1e9
        with open(f"/proc/{self._process.pid}/status", encoding="ascii") as status:
            peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
        return cpu, peak / 1024


@contextmanager
def running(subject: RpcSubject, environment: dict[str, str], *options: str) -> Iterator[Server]:
    """The subject's server in an empty home."""
    command = [*subject.server, "--mode", "rpc", "--no-session", *options]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        cwd=environment["HOME"],
        env=environment,
    )
    assert process.stdin
    assert process.stdout
    try:
        yield Server(process)
    finally:
        process.stdin.close()
        try:
            process.wait(timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


@contextmanager
def home_with_model(url: str) -> Iterator[dict[str, str]]:
    """The environment of a server whose only model is at `url`."""
    with tempfile.TemporaryDirectory() as home:
        model = {"id": "bench", "contextWindow": 10_000_000, "maxTokens": 8192}
        provider = {"baseUrl": url, "api": "anthropic-messages", "apiKey": "none"}
        models = {"providers": {"bench": provider | {"models": [model]}}}
        Path(home, "models.json").write_text(json.dumps(models), encoding="utf-8")
        own = {"HOME": home, "PI_CODING_AGENT_DIR": home, "PI_OFFLINE": "1"}
        yield child_environment() | own


# --- the measurements -----------------------------------------------------------------------------


def measure_start(results: Results, subject: RpcSubject, environment: dict[str, str]) -> None:
    """From the start of a server to its answer to `get_state`."""
    started = time.perf_counter()
    with running(subject, environment) as server:
        server.send(id="1", type="get_state")
        [answer] = server.read_until(b'"id":"1"')
        wall = time.perf_counter() - started
        if not json.loads(answer)["success"]:
            raise RuntimeError(f"get_state failed: {answer[:200]!r}")
        cpu, peak = server.usage()
    results.add(subject, _START, cpu_ms=cpu * 1000, peak_mb=peak, wall_ms=wall * 1000)


def measure_stream(
    results: Results, subject: RpcSubject, environment: dict[str, str], deltas: int
) -> None:
    """CPU of the server for an answer of so many deltas, after one that is the same.

    The model server answers what the first message of a conversation says.
    """
    with running(subject, environment, "--provider", "bench", "--model", "bench") as server:
        ask(server, deltas)
        before, _ = server.usage()
        updates = ask(server, deltas)
        after, peak = server.usage()
    results.add(
        subject,
        _STREAM,
        event_us=(after - before) * 1e6 / updates,
        events_per_cpu_s=updates / (after - before),
        peak_mb=peak,
    )


def ask(server: Server, deltas: int) -> int:
    """Let the model answer; the number of `message_update` events. None may be missing."""
    server.send(type="prompt", message=prompt_for(deltas))
    lines = server.read_until(b'"type":"agent_settled"')
    updates = sum(b'"type":"message_update"' in line for line in lines)
    if updates < deltas:
        raise RuntimeError(f"saw {updates} updates of {deltas} deltas")
    return updates


def prompt_for(deltas: int) -> str:
    """What makes the model server stream so many deltas."""
    return f"case={deltas}-5-text-bulk"


def measure_client(
    results: Results, subject: RpcSubject, environment: dict[str, str], deltas: int
) -> None:
    """CPU of a client's process while its own server streams to it."""
    prompt = prompt_for(deltas)
    job = {"server": subject.server, "environment": environment, "prompt": prompt}
    told = run_subject(subject.client, job)
    if told["events"] < deltas:
        raise RuntimeError(f"saw {told['events']} events of {deltas} deltas")
    results.add(
        subject,
        _CLIENT,
        event_us=told["cpu_seconds"] * 1e6 / told["events"],
        events_per_cpu_s=told["events"] / told["cpu_seconds"],
        peak_mb=told["peak_rss_kb"] / 1024,
    )


def measure_all(subjects: list[RpcSubject], runs: int, deltas: int) -> Results:
    """Everything of every subject, `runs` times, interleaved; the first run fills the caches."""
    results = Results()
    with model_server() as url, home_with_model(url) as environment:
        for run in range(runs + 1):
            print(f"rpc: run {run} of {runs}", file=sys.stderr)
            for subject in subjects:
                for what in (_START, _STREAM, _CLIENT):
                    if not any(key[:2] == (subject.name, what) for key in failures(results)):
                        measure_once(
                            results if run else Results(), subject, environment, what, deltas
                        )
    return results


def measure_once(
    results: Results, subject: RpcSubject, environment: dict[str, str], what: str, deltas: int
) -> None:
    """One run of one measurement; a failure takes the place of its values."""
    try:
        if what == _START:
            measure_start(results, subject, environment)
        elif what == _STREAM:
            measure_stream(results, subject, environment, deltas)
        else:
            measure_client(results, subject, environment, deltas)
    except (RuntimeError, ValueError) as error:
        results.values[subject.name, what, "event_us"] = Failure(error)
        results.notes.append(f"- {subject.name}, {what}: failed: {error}")


def failures(results: Results) -> list[tuple[str, str, str]]:
    """What failed, and is not measured again."""
    return [key for key, found in results.values.items() if isinstance(found, Failure)]


# --- the tables -----------------------------------------------------------------------------------


def report(subjects: list[RpcSubject], results: Results, runs: int, deltas: int) -> str:
    """The tables of README.md."""
    units = {
        "cpu_ms": ("CPU, ms", 0),
        "wall_ms": ("wall, ms", 0),
        "peak_mb": ("peak memory, MB", 1),
    }
    stream = {
        "event_us": ("CPU per event, µs", 1),
        "events_per_cpu_s": ("events per CPU-second", 0),
        "peak_mb": ("peak memory, MB", 1),
    }
    parts = [
        f"Medians of {runs}. {machine()}.",
        _table("Start to first response", _START, units, subjects, results),
        _table(f"The server, an answer of {deltas:,} deltas", _STREAM, stream, subjects, results),
        _table("The client that reads it", _CLIENT, stream, subjects, results),
        "\n".join(results.notes),
    ]
    return "\n\n".join(part for part in parts if part)


def _table(
    title: str,
    what: str,
    units: dict[str, tuple[str, int]],
    subjects: list[RpcSubject],
    results: Results,
) -> str:
    """Per unit: the number, and how many times ours it is."""
    header = ["subject"]
    for label, _ in units.values():
        header += [label, f"x {_BASE}"]
    rows: list[list[str]] = []
    for subject in subjects:
        row = [f"{subject.name} {subject.client.version}"]
        for unit, (_, digits) in units.items():
            found = results.values.get((subject.name, what, unit))
            row += [cell(found, digits), ratio(found, results.values.get((_BASE, what, unit)))]
        rows.append(row)
    return f"### {title}\n\n{table(header, rows)}"


def main() -> None:
    """Parse the command line, install, measure, print."""
    parser = argparse.ArgumentParser(description="RPC servers and their clients.")
    parser.add_argument("--quick", action="store_true", help="a short answer, one run")
    parser.add_argument("--runs", type=int, help="how often each is run (default 5)")
    parser.add_argument("--subjects", help="some of ours,upstream")
    parser.add_argument("--write", action="store_true", help="put the tables into README.md")
    options = parser.parse_args()
    runs = options.runs or (1 if options.quick else 5)
    deltas = _QUICK_DELTAS if options.quick else _FULL_DELTAS
    wanted = options.subjects.split(",") if options.subjects else [_BASE, "upstream"]
    subjects, missing = find_subjects(wanted)
    results = measure_all(subjects, runs, deltas)
    results.notes += missing
    text = report(subjects, results, runs, deltas)
    print(text)
    if options.write:
        write_section("rpc", text)


if __name__ == "__main__":
    main()
