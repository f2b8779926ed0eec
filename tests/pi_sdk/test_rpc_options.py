"""The command line of the RPC server, in this process: rpc spec, section 2."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from pi_ai import UserMessage
from pi_sdk import AgentSession
from pi_sdk.rpc import main
from pi_sdk.rpc_options import RpcOptions, StartupError, parse_arguments
from pi_sdk.rpc_start import open_runtime
from pi_session import SessionManager


@pytest.fixture(autouse=True)
def here(project, agent_dir, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.setenv("PI_CODING_AGENT_DIR", str(agent_dir))


def opened(*arguments: str) -> AgentSession:
    """The session that the arguments ask for, closed again."""

    async def run() -> AgentSession:
        async with await open_runtime(parse_arguments(arguments)) as runtime:
            return runtime.session

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {}),
        (["--mode", "rpc"], {}),
        (["hello", "-"], {}),
        (["--offline", "--verbose"], {}),
        (["--approve"], {"project_trusted": True}),
        (["--no-persist-settings"], {"persist_settings": False}),
        (["-a", "-na"], {"project_trusted": False}),
        (["--no-extensions", "--no-skills", "--no-prompt-templates", "--no-themes"], {}),
        (["-ne", "-ns", "-np", "--no-mcp"], {}),
        (["--provider", "p", "--model", "m:high"], {"provider": "p", "model": "m:high"}),
        (["--model=m", "--api-key", "k"], {"model": "m", "api_key": "k"}),
        (["--thinking", "xhigh"], {"thinking": "xhigh"}),
        (["-n", "N"], {"name": "N"}),
        (["-n=N"], {"name": "N"}),
        (["--name", "@bot"], {"name": "@bot"}),
        (
            ["--name", "--no-session", "--system-prompt", "---\n"],
            {"name": "--no-session", "system_prompt": "---\n"},
        ),
        (["--models", "a, b:high"], {"models": ("a", "b:high")}),
        (["--fork", "x", "--session-id", "y"], {"fork": "x", "session_id": "y"}),
        (
            ["--session-id", "y", "--no-session"],
            {"session_id": "y", "in_memory": True},
        ),
        (["-c"], {"resume": True}),
        (["--no-session"], {"in_memory": True}),
        (["-t", "read, bash,"], {"tools": ("read", "bash")}),
        (["--tools", ""], {"tools": ()}),
        (["--tools", "-bash,+grep"], {"tools": ("-bash", "+grep")}),
        (["-t", "-bash"], {"tools": ("-bash",)}),
        (["-xt", "ba*"], {"exclude_tools": ("ba*",)}),
        (["-nt"], {"no_tools": "all"}),
        (["-nbt", "-nc"], {"no_tools": "builtin", "context_files": False}),
        (
            ["--system-prompt", "x" * 5000, "--append-system-prompt", "- a", "--session-dir", "d"],
            {
                "system_prompt": "x" * 5000,
                "append_system_prompt": ("- a",),
                "session_dir": "d",
            },
        ),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_arguments_are_understood(arguments, expected):
    assert parse_arguments(arguments) == RpcOptions(**expected)


def test_prompts_may_be_files(project):
    (project / "prompt.md").write_text("\ufeffFrom a file", encoding="utf-8")
    options = parse_arguments(["--system-prompt", "prompt.md", "--append-system-prompt", "no.md"])
    assert (options.system_prompt, options.append_system_prompt) == ("From a file", ("no.md",))


@pytest.mark.parametrize(
    ("arguments", "expected"), [([], "there"), (["--session-dir", "here"], "here")]
)
def test_the_session_directory_may_come_from_the_environment(monkeypatch, arguments, expected):
    monkeypatch.setenv("PI_CODING_AGENT_SESSION_DIR", "there")
    assert parse_arguments(arguments).session_dir == expected


def test_a_session_is_gone_on_with(fake, write_models):
    async def prompted(*arguments: str) -> Any:
        async with await open_runtime(parse_arguments(arguments)) as runtime:
            session = runtime.session
            await session.prompt("A")
            return session.session_id, str(session.session_file), len(session.messages)

    async def run() -> list[Any]:
        async with fake:
            write_models({"fake": fake.config()})
            first = await prompted()
            found = [first]
            for arguments in (["-c"], ["--session", first[0]], ["--session", first[1]]):
                found.append(await prompted(*arguments))
            found.append(await prompted("--session-id", first[0]))
            return found

    found = asyncio.run(run())
    assert [count for *_, count in found] == [3, 5, 7, 9, 11]
    assert len({session_id for session_id, *_ in found}) == 1


def test_a_session_is_found_by_the_beginning_of_its_id(project):
    for number in (1, 2):
        with SessionManager.create(project, id=f"abc-{number}") as session:
            session.append_message(UserMessage("hi"))
    assert opened("--session", "abc-1").session_id == "abc-1"
    assert opened("--session", "abc").session_id.startswith("abc-")
    for unknown in ("bc", ""):
        with pytest.raises(StartupError, match=f"No session found matching '{unknown}'"):
            opened("--session", unknown)


@pytest.mark.parametrize("reference", ["the path", "far-away", "far"])
def test_a_fork_is_a_new_session_here_with_all_of_another(tmp_path, project, reference):
    other = tmp_path / "other"
    other.mkdir()
    with SessionManager.create(other, id="far-away") as session:
        session.append_message(UserMessage("hi"))
    path = str(session.session_file)
    forked = opened(
        "--fork", path if reference == "the path" else reference, "--session-id", "mine"
    )
    assert forked.session_id == "mine"
    assert forked.session_manager.cwd == str(project)
    assert [message.role for message in forked.messages] == ["user"]
    assert json.loads(forked.session_file.read_text().splitlines()[0])["parentSession"] == path


def test_models_make_a_scope_whose_first_model_starts(fake, write_models, capsys):
    async def run() -> AgentSession:
        async with fake:
            write_models({"fake": fake.config()})
            options = parse_arguments(["--no-session", "--models", "nope,m2,m1:low"])
            async with await open_runtime(options) as runtime:
                await runtime.session.set_model(runtime.session.scoped_models[1].model)
                await runtime.new_session()
                return runtime.session

    session = asyncio.run(run())
    assert session.model is not None
    assert session.model.id == "m2"
    assert [(one.model.id, one.thinking_level) for one in session.scoped_models] == [
        ("m2", None),
        ("m1", "low"),
    ]
    assert capsys.readouterr().err == 'Warning: No models match pattern "nope"\n'


def test_a_session_path_that_does_not_exist_is_a_new_session(project):
    session = opened("--session", "./new.jsonl")
    assert session.session_file == project / "new.jsonl"


def test_an_unknown_model_of_a_known_provider_is_taken_at_its_word(fake, write_models, capsys):
    async def run() -> AgentSession:
        async with fake:
            write_models({"fake": fake.config()})
            options = parse_arguments(
                ["--no-session", "--model", "fake/m9:low", "--thinking", "bogus"]
            )
            async with await open_runtime(options) as runtime:
                return runtime.session

    session = asyncio.run(run())
    assert session.model is not None
    assert (session.model.id, session.thinking_level) == ("m9", "low")
    assert capsys.readouterr().err.splitlines() == [
        'Warning: Invalid thinking level "bogus". '
        "Valid values: off, minimal, low, medium, high, xhigh, max",
        'Warning: Model "m9" not found for provider "fake". Using custom model id.',
    ]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["@file"], "Error: @file arguments are not supported in RPC mode"),
        (["--wat"], "Error: Unknown option: --wat"),
        (["-Q"], "Error: Unknown option: -Q"),
        (["--name"], "Error: --name requires a value"),
        (["hello", "@file", "--wat"], "Error: @file arguments are not supported in RPC mode"),
        (["--mode", "xx"], 'Error: Invalid mode "xx". Valid values: text, json, rpc'),
        (
            ["--provider", "fake"],
            "Error: --provider requires --model (for example: --provider fake --model <pattern>)",
        ),
        (["--provider", "nope", "--model", "m"], 'Error: Unknown provider "nope".'),
        (
            ["--model", "claude-sonet-4-5"],
            'Error: Model "claude-sonet-4-5" not found. Did you mean: ',
        ),
        (["--session", "abcdef"], "No session found matching 'abcdef'"),
        (
            ["--session-id", "-x-"],
            "Error: Session id must be non-empty, contain only alphanumeric characters, '-', "
            "'_', and '.', and start and end with an alphanumeric character",
        ),
        (
            ["--session-id=x-"],
            "Error: Session id must be non-empty, contain only alphanumeric characters, '-', "
            "'_', and '.', and start and end with an alphanumeric character",
        ),
        (["--name", " "], "Error: --name requires a non-empty value"),
        (
            ["--tools", "+a,b"],
            "Error: --tools: tool names cannot be mixed with +name or -name entries",
        ),
        (["--tools", "reed"], "Error: Unknown tool: reed. Available: read, bash, edit, write"),
        (["--fork", "x"], "No session found matching 'x'"),
        (
            ["--fork", "./nope.jsonl"],
            "Error: Cannot fork: source session file is empty or invalid: ",
        ),
        (["--fork", "x", "--session", "y"], "Error: --fork cannot be combined with --session"),
        (["--fork", "x", "-c"], "Error: --fork cannot be combined with --continue"),
        (["--fork", "x", "--no-session"], "Error: --fork cannot be combined with --no-session"),
        (
            ["--session-id", "x", "--session", "y"],
            "Error: --session-id cannot be combined with --session",
        ),
        (
            ["--session-id", "x", "--continue"],
            "Error: --session-id cannot be combined with --continue",
        ),
        (["--session", "./corrupt.jsonl"], "Error: Session file is not a valid pi session: "),
        (["--session", "./gone.jsonl"], "Stored session working directory does not exist: /gone"),
        (["--session-dir", "./corrupt.jsonl"], "Error: Session directory is not writable: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_rpc_check_52_failures_to_start_are_told_on_standard_error(project, capfd, arguments, line):
    (project / "corrupt.jsonl").write_text("no session\n")
    header = {"type": "session", "version": 3, "id": "x", "timestamp": "", "cwd": "/gone"}
    (project / "gone.jsonl").write_text(json.dumps(header) + "\n")
    assert main([*arguments]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(line)
    assert "Traceback" not in err


# --- settings ---------------------------------------------------------------------------------


@pytest.fixture
def steering_project(project):
    """A project whose settings say something."""
    (project / ".pi").mkdir()
    (project / ".pi" / "settings.json").write_text('{"steeringMode": "all"}')
    return project


@pytest.mark.parametrize(
    ("arguments", "stored", "default", "counts"),
    [
        ([], None, None, False),
        (["--approve"], None, None, True),
        (["-a"], False, "never", True),
        (["--no-approve"], True, "always", False),
        ([], True, None, True),
        ([], False, "always", False),
        ([], None, "always", True),
    ],
    ids=str,
)
def test_sdk_check_36_who_trusts_a_projects_settings(  # undecided is untrusted, without a word
    steering_project, agent_dir, capsys, arguments, stored, default, counts
):
    if stored is not None:
        (agent_dir / "trust.json").write_text(json.dumps({str(steering_project): stored}))
    if default is not None:
        (agent_dir / "settings.json").write_text(json.dumps({"defaultProjectTrust": default}))
    session = opened("--no-session", *arguments)
    assert session.settings.project_trusted is counts
    assert session.agent.steering_queue.mode == ("all" if counts else "one-at-a-time")
    assert "settings" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "directory"), [([], "kept"), (["--session-dir", "told"], "told")]
)
def test_the_session_directory_may_come_from_the_settings(project, agent_dir, arguments, directory):
    (agent_dir / "settings.json").write_text('{"sessionDir": "kept"}')
    session = opened(*arguments)
    assert session.session_file is not None
    assert session.session_file.parent.absolute() == project / directory


def test_the_settings_are_those_of_where_the_session_works(steering_project, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    header = {"type": "session", "version": 3, "id": "x", "timestamp": "", "cwd": str(other)}
    (steering_project / "other.jsonl").write_text(json.dumps(header) + "\n")
    assert opened("--approve", "--no-session").agent.steering_queue.mode == "all"
    session = opened("--approve", "--session", "./other.jsonl")
    assert session.session_manager.cwd == str(other)
    assert session.agent.steering_queue.mode == "one-at-a-time"


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("{", "Warning: Invalid settings file {path}: "),
        ('{"transport": 5}', "Warning: Invalid setting in {path}: transport: expected one of "),
    ],
)
def test_what_is_wrong_with_the_settings_is_a_warning(agent_dir, capsys, text, warning):
    path = agent_dir / "settings.json"
    path.write_text(text)
    opened("--no-session")
    assert capsys.readouterr().err.startswith(warning.format(path=path))


def test_a_session_that_takes_the_place_has_the_settings_of_where_it_works(
    steering_project, agent_dir, tmp_path
):
    other = tmp_path / "other"
    (other / ".pi").mkdir(parents=True)
    (other / ".pi" / "settings.json").write_text('{"steeringMode": "all"}')
    (agent_dir / "trust.json").write_text(json.dumps({str(steering_project): True}))
    header = {"type": "session", "version": 3, "id": "x", "timestamp": "", "cwd": str(other)}
    file = steering_project / "other.jsonl"
    file.write_text(json.dumps(header) + "\n")

    async def run() -> list[tuple[str, bool]]:
        found = []
        async with await open_runtime(parse_arguments([])) as runtime:
            for path in (file, steering_project / "new.jsonl"):
                found.append(_mode(runtime.session))
                await runtime.switch_session(path, None if path is file else str(steering_project))
            return [*found, _mode(runtime.session)]

    def _mode(session: AgentSession) -> tuple[str, bool]:
        return session.steering_mode, session.settings.project_trusted

    trusted = ("all", True)
    assert asyncio.run(run()) == [trusted, ("one-at-a-time", False), trusted]


@pytest.mark.parametrize(
    ("settings", "arguments", "scope", "start"),
    [
        ({"enabledModels": ["m2", "m1:low"]}, [], ["m2", "m1"], "m2"),
        ({"enabledModels": ["m2"]}, ["--models", "m1"], ["m1"], "m1"),
        (
            {"enabledModels": ["m2", "m1"], "defaultProvider": "fake", "defaultModel": "m1"},
            [],
            ["m2", "m1"],
            "m1",
        ),
        ({"enabledModels": ["m2"]}, ["--model", "fake/m1"], ["m2"], "m1"),
    ],
    ids=["settings", "command line", "default model", "model"],
)
def test_enabled_models_are_the_scope(
    fake, write_models, agent_dir, settings, arguments, scope, start
):
    (agent_dir / "settings.json").write_text(json.dumps(settings))

    async def run() -> AgentSession:
        async with fake:
            write_models({"fake": fake.config()})
            options = parse_arguments(["--no-session", *arguments])
            async with await open_runtime(options) as runtime:
                return runtime.session

    session = asyncio.run(run())
    assert [one.model.id for one in session.scoped_models] == scope
    assert session.model is not None
    assert session.model.id == start


def test_a_trust_store_that_cannot_be_used_is_a_failure_to_start(agent_dir, capfd):
    path = agent_dir / "trust.json"
    path.write_text("[]")
    assert main([]) == 1
    assert capfd.readouterr().err == f"Error: Invalid trust store {path}: expected an object\n"


@pytest.mark.parametrize(
    "flag",
    ["--extension", "-e", "--skill", "--prompt-template", "--theme", "--use-theme", "--tui-mode"],
)
def test_what_only_upstream_has_is_ignored_with_a_warning(flag, capsys):
    assert parse_arguments([flag, "a", flag, "b", "--name", "N"]) == RpcOptions(name="N")
    warning = f"Warning: {flag} is ignored: there are no extensions, skills, prompts or themes\n"
    assert capsys.readouterr().err == warning * 2


@pytest.mark.parametrize(
    ("told", "tools"),
    [
        ("read,powershell", ("read",)),
        ("-powershell,+grep", ("+grep",)),
        ("-powershell", None),
        ("powershell", ()),
    ],
)
def test_a_tool_that_only_upstream_has_is_left_out_with_a_warning(capsys, told, tools):
    assert parse_arguments(["--tools", told]).tools == tools
    name = next(name for name in told.split(",") if "powershell" in name)
    warning = f"Warning: --tools: {name} is ignored: there is no such tool\n"
    assert capsys.readouterr().err == warning
