"""Values that name variables or commands: auth spec, section 8."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pi_ai.auth.config_value import ConfigValue, clear_config_value_cache
from pi_ai.auth.shell_command import run_shell_command
from support.processes import alive


@pytest.fixture(autouse=True)
def no_outputs_of_others() -> Iterator[None]:
    clear_config_value_cache()
    yield
    clear_config_value_cache()


def resolved(text: str, env: dict[str, str] | None = None) -> str | None:
    return asyncio.run(ConfigValue(text).resolve(env))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("", ""),
        ("$K", "kk"),
        ("${K}", "kk"),
        ("pre-${K}-$K$$x", "pre-kk-kk$x"),
        ("sk-$$abc$$", "sk-$abc$"),
        ("$!x", "!x"),
        ("$1 $ ${ ${} ${1X} ${A:-b} $", "$1 $ ${ ${} ${1X} ${A:-b} $"),
        ("$$K", "$K"),
        ("NAME", "NAME"),
        (" !echo no", " !echo no"),
        ("$K$MISSING", None),
        ("x$MISSING", None),
        ("$EMPTY", None),
        ("!echo ' a b '", "a b"),
        ("!printf 'a\\nb\\n'", "a\nb"),
        ("!echo $K$SCOPED", "kk"),
        ("!echo told; exit 3", None),
        ("!true", None),
        ("!no-such-program-anywhere", None),
        ("!echo a\0b", None),
        ("!cat", None),
        ("!echo out; echo error >&2", "out"),
    ],
)
def test_auth_check_50_every_form(monkeypatch, text, value):
    monkeypatch.setenv("K", "kk")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("MISSING", raising=False)
    assert resolved(text, {"SCOPED": "not for commands"}) == value


def test_a_scoped_variable_wins_and_is_not_expanded_again(monkeypatch):
    monkeypatch.setenv("K", "process")
    value = ConfigValue("$K $K ${L}")
    assert value.variables == ("K", "L")
    assert value.unset() == ["L"]
    assert resolved("$K $K ${L}", {"K": "$L", "L": "l"}) == "$L $L l"


def test_auth_check_50_a_failing_command_runs_once_for_two_reads(tmp_path: Path):
    command = f"!echo x >> {tmp_path}/runs; exit 1"

    async def main() -> list[str | None]:
        first = await asyncio.gather(*(ConfigValue(command).resolve() for _ in range(5)))
        return [*first, await ConfigValue(command).resolve()]

    assert asyncio.run(main()) == [None] * 6
    assert (tmp_path / "runs").read_text() == "x\n"
    clear_config_value_cache()
    assert resolved(command) is None
    assert (tmp_path / "runs").read_text() == "x\nx\n"


def test_a_command_can_be_run_again_at_each_request(tmp_path: Path):
    value = ConfigValue(f"!echo x >> {tmp_path}/runs; wc -l < {tmp_path}/runs")

    async def main() -> list[str | None]:
        return [await value.resolve(run_again=True) for _ in range(3)]

    assert asyncio.run(main()) == ["1", "2", "3"]


async def gone(pid: int) -> None:
    async with asyncio.timeout(5):
        while alive(pid):
            await asyncio.sleep(0.01)


async def written(path: Path) -> int:
    """The process id that a command writes to `path`."""
    async with asyncio.timeout(5):
        while not path.exists() or not path.read_text().endswith("\n"):
            await asyncio.sleep(0.01)
    return int(path.read_text())


BACKGROUND = "sleep 60 & echo $! > {path}; mv {path} {path}.done; "


@pytest.mark.parametrize("rest", ["wait", "exit 0"], ids=["shell waits", "shell has exited"])
def test_a_command_out_of_time_is_killed_with_all_it_started(tmp_path: Path, rest: str):
    pid_file = tmp_path / "pid.done"
    command = BACKGROUND.format(path=tmp_path / "pid") + rest

    async def main() -> None:
        started = time.monotonic()
        assert await run_shell_command(command, timeout_seconds=0.5) is None
        assert time.monotonic() - started < 5
        await gone(int(pid_file.read_text()))

    asyncio.run(main())


def test_a_command_that_nobody_waits_for_is_killed_with_all_it_started(tmp_path: Path):
    value = ConfigValue("!" + BACKGROUND.format(path=tmp_path / "pid") + "wait")

    async def main() -> None:
        waiting = asyncio.create_task(value.resolve())
        pid = await written(tmp_path / "pid.done")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await gone(pid)

    asyncio.run(main())


def test_the_text_does_not_show():
    values = [ConfigValue(text) for text in ("secret-$K", "!echo secret", "secret")]
    assert "secret" not in repr(values)
    assert [value.is_command for value in values] == [False, True, False]
    assert not any(ConfigValue(text).is_command for text in (" !ls", "$!ls"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("$X", "Failed to resolve key from environment variable: X"),
        ("$X$Y$K", "Failed to resolve key from environment variables: X, Y"),
        ("!echo secret", "Failed to resolve key from shell command"),
    ],
)
def test_the_reason_of_a_failure_names_variables_and_no_command(monkeypatch, text, reason):
    monkeypatch.setenv("K", "kk")
    assert ConfigValue(text).describe_failure("key") == reason
