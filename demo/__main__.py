"""An agent repairs a small project whose test fails; then its session is reopened and asked.

    python -m demo

Exit status 0 means: the test passes now, and the reopened session knew what had been done.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from demo.choose_model import chosen_model
from demo.project import create_project, diff, run_tests
from demo.show import heading, show
from pi_ai import Model, PiError
from pi_sdk import AgentSession, create_agent
from pi_session import SessionManager

_TASK = (
    "A test of this project fails. Find out why, fix the bug with the smallest change, and run "
    "the tests again (python -m pytest -q)."
)
_FOLLOW_UP = "Which line did you change, and why? Answer in one sentence, without using a tool."


async def main() -> int:
    """The whole demonstration; returns the exit status."""
    # The agent's shell runs `python -m pytest` with the interpreter that runs this.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # the project's tests need none
    async with chosen_model() as (sentence, model):
        print(sentence, flush=True)
        place = Path(tempfile.mkdtemp(prefix="pi-demo-"))
        project = place / "project"
        create_project(project)
        heading(f"A project with a bug, in {project}")
        print(f"  pytest: {run_tests(project)[1]}")
        session_file = await _repair(model, project, place / "agent")
        passed, summary = run_tests(project)
        heading("What was changed")
        print(diff(project).rstrip() or "  nothing")
        heading("The tests now")
        print(f"  pytest: {summary}")
        remembered = await _ask_again(model, project, session_file)
    heading("Done" if passed and remembered else "The model did not get there")
    print(f"  session: {session_file}\n  project: {project}")
    return 0 if passed and remembered else 1


async def _repair(model: Model, project: Path, agent_dir: Path) -> Path:
    """Let the agent work; returns the session file."""
    heading(f"Prompt: {_TASK}")
    async with create_agent(
        model=model, cwd=project, agent_dir=agent_dir, tools=["read", "edit", "bash"]
    ) as agent:
        agent.subscribe(show)
        await agent.prompt(_TASK)
        _print_cost(agent)
        if agent.session_file is None or not agent.session_file.is_file():
            raise PiError("No session file was written")
        return agent.session_file


async def _ask_again(model: Model, project: Path, session_file: Path) -> bool:
    """Reopen the session and ask what only its history can answer."""
    heading(f"Reopened the session. Prompt: {_FOLLOW_UP}")
    with SessionManager.open(session_file) as session:
        async with create_agent(
            model=model, cwd=project, session_manager=session, tools=["read", "edit", "bash"]
        ) as agent:
            agent.subscribe(show)
            await agent.prompt(_FOLLOW_UP)
            _print_cost(agent)
            answer = agent.last_assistant_text() or ""
    return "invoice" in answer or "discount" in answer


def _print_cost(agent: AgentSession) -> None:
    print(f"  cost so far: ${agent.total_cost().total:.6f}", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        sys.exit(130)
    except (PiError, OSError) as error:
        sys.exit(f"The demo cannot go on: {error}")
