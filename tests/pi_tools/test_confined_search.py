"""grep, find and ls that are held inside given directories, here and in another place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pi_agent.types import AgentTool, ToolError
from pi_tools import (
    ALL_TOOL_NAMES,
    ToolOptions,
    confined_to,
    create_all_tools,
    create_tool,
    over_prefix,
)
from support.places import bound_by_permissions, in_root
from support.search import GREP_ENGINES, write_tree

if TYPE_CHECKING:
    from tests.pi_tools.conftest import Calls

OVER_THERE = ["env", "OVER_THERE=yes"]
OUTSIDE_TEXT = "Path is outside the allowed directories: "


@pytest.fixture
def world(tmp_path: Path) -> Path:
    world = write_tree(
        tmp_path.resolve(),
        {"root/f": "hit\n", "root/deep/g": "hit\n", "outside/secret": "hit\n", "outside/deep/": ""},
    )
    (world / "root/out").symlink_to("../outside")
    (world / "root/out-file").symlink_to(world / "outside/secret")
    (world / "root/out-missing").symlink_to(world / "outside/missing")
    (world / "root/in").symlink_to("deep")
    (world / "root/in-file").symlink_to("deep/g")
    return world


def confinements(world: Path) -> dict[str, ToolOptions]:
    local = [
        confined_to([world / "root"], {"grep": {"engine": engine}, "find": {"engine": engine}})
        for engine in GREP_ENGINES
    ]
    return {
        "over a prefix": confined_to([world / "root"], over_prefix(OVER_THERE)),
        **{f"here with {engine}": one for engine, one in zip(GREP_ENGINES, local, strict=True)},
    }


@pytest.fixture(params=["over a prefix", *(f"here with {engine}" for engine in GREP_ENGINES)])
def tools(request: pytest.FixtureRequest, world: Path) -> dict[str, AgentTool]:
    options = confinements(world)[request.param]
    if options.get("find", {}).get("engine") == "program":
        options["find"] = confined_to([world / "root"])["find"]  # There may be no fd.
    return create_all_tools(world / "root", options)


def outcome(calls: Calls, tool: AgentTool, arguments: dict[str, Any]) -> str:
    try:
        return calls.text(tool, arguments)
    except ToolError as error:
        return str(error)


def found(text: str) -> set[str]:
    return set(text.partition("\n\n[")[0].split("\n"))


@pytest.mark.parametrize("name", ["grep", "find", "ls"])
@pytest.mark.parametrize("path", ["..", "../outside", "out", "out/deep", "out-file", "/", "{}/no"])
def test_outside_nothing_is_searched(
    path: str, name: str, calls: Calls, tools: dict[str, AgentTool], world: Path
) -> None:
    path = path.format(world)
    arguments = {"path": path} if name == "ls" else {"pattern": "hit", "path": path}
    resolved = os.path.normpath(world / "root" / path)
    assert outcome(calls, tools[name], arguments) == (
        f"{OUTSIDE_TEXT}{resolved}. Allowed: {world / 'root'}"
    )


def test_a_search_of_the_root_shows_nothing_of_what_links_lead_to(
    calls: Calls, tools: dict[str, AgentTool]
) -> None:
    assert found(calls.text(tools["grep"], {"pattern": "hit"})) == {"f:1: hit", "deep/g:1: hit"}
    for glob in ("../outside/*", "out/*", "out-file", "**/secret", "../**"):
        text = calls.text(tools["grep"], {"pattern": "hit", "glob": glob})
        assert text == "No matches found"
    for pattern in ("secret", "../outside/*", "out/*", "/etc/*", "../*"):
        assert calls.text(tools["find"], {"pattern": pattern}) == "No files found matching pattern"
    assert found(calls.text(tools["find"], {"pattern": "out*"})) == {
        "out",
        "out-file",
        "out-missing",
    }


def test_ls_does_not_tell_what_links_lead_to(calls: Calls, tools: dict[str, AgentTool]) -> None:
    assert calls.text(tools["ls"], {}).split("\n") == [
        "deep/",
        "f",
        "in",
        "in-file",
        "out",
        "out-file",
        "out-missing",
    ]


def test_links_that_stay_inside_can_be_named(calls: Calls, tools: dict[str, AgentTool]) -> None:
    assert found(calls.text(tools["grep"], {"pattern": "hit", "path": "in"})) == {"g:1: hit"}
    assert calls.text(tools["grep"], {"pattern": "hit", "path": "in-file"}) == "g:1: hit"
    assert found(calls.text(tools["find"], {"pattern": "*", "path": "in"})) == {"g"}
    assert found(calls.text(tools["find"], {"pattern": "deep/*"})) == {"deep/g"}
    assert calls.text(tools["ls"], {"path": "in"}) == "g"


def test_nothing_of_an_ignore_file_that_leads_outside_is_shown(
    calls: Calls, tools: dict[str, AgentTool], world: Path
) -> None:
    (world / "outside/keys").write_text("key[123\n")
    (world / "root/.git").mkdir()
    (world / "root/.gitignore").symlink_to("../outside/keys")
    (world / "root/closed").mkdir()
    (world / "root/closed").chmod(0)
    calls.text(tools["grep"], {"pattern": "hit"})
    with bound_by_permissions(world / "root"):
        shown = outcome(calls, tools["grep"], {"pattern": "hit"})
    assert "ermission denied" in shown or "EACCES" in shown
    assert "key[" not in shown


@pytest.mark.parametrize("name", ["grep", "find", "ls"])
def test_operations_that_cannot_be_confined_are_refused(name: str, world: Path) -> None:
    class Bare:
        async def is_directory(self, path: str) -> bool:
            return True

    options: Any = {name: {"operations": Bare()}}
    with pytest.raises(TypeError, match=rf"^{name}: Bare cannot be confined\. It needs every"):
        confined_to([world], options)


# What each tool is asked inside and outside of its place, and what only the right place can say.
INSIDE: dict[str, tuple[dict[str, Any], str]] = {
    "read": ({"path": "f"}, "here-it-is"),
    "bash": ({"command": "cat f"}, "here-it-is"),
    "edit": ({"path": "e", "edits": [{"oldText": "a", "newText": "b"}]}, "Successfully replaced"),
    "write": ({"path": "w", "content": "x"}, "Successfully wrote to w"),
    "grep": ({"pattern": "here-it"}, "f:1: here-it-is"),
    "find": ({"pattern": "f"}, "f"),
    "ls": ({}, "f"),
}
OUTSIDE: dict[str, dict[str, Any]] = {
    "read": {"path": "{}/secret"},
    "bash": {"command": "cat {}/secret"},
    "edit": {"path": "{}/secret", "edits": [{"oldText": "a", "newText": "b"}]},
    "write": {"path": "{}/secret", "content": "x"},
    "grep": {"pattern": "a", "path": "{}"},
    "find": {"pattern": "secret", "path": "{}"},
    "ls": {"path": "{}"},
}


def test_the_tables_name_every_tool() -> None:
    assert set(INSIDE) == set(OUTSIDE) == set(ALL_TOOL_NAMES)
    assert set(over_prefix(OVER_THERE)) == set(ALL_TOOL_NAMES)
    assert set(confined_to(["/"])) == set(ALL_TOOL_NAMES)


@pytest.fixture
def other_root(tmp_path: Path) -> tuple[list[str], str]:
    """A prefix into another root, and its working directory, which this machine has too."""
    prefix = in_root(tmp_path / "root") or ["env", "-C", "/"]
    work = "/work" if prefix[0] == "unshare" else str(tmp_path / "root/work")
    write_tree(tmp_path / "root/work", {"f": "here-it-is", "e": "a"})
    write_tree(tmp_path / "root/outside", {"secret": "a"})
    return prefix, work


@pytest.mark.parametrize("name", ALL_TOOL_NAMES)
def test_every_tool_works_in_the_other_root_alone(
    name: str, calls: Calls, tmp_path: Path, other_root: tuple[list[str], str]
) -> None:
    prefix, work = other_root
    tool = create_tool(name, work, over_prefix(prefix))
    arguments, expected = INSIDE[name]
    assert expected in calls.text(tool, arguments)
    if prefix[0] != "unshare":
        return  # Without namespaces the prefix leads to a directory that has no walls.
    write_tree(tmp_path / "outside", {"secret": "a"})
    arguments = {
        key: value.replace("{}", f"{tmp_path}/outside") if isinstance(value, str) else value
        for key, value in OUTSIDE[name].items()
    }
    shown = outcome(calls, tool, arguments)
    assert (tmp_path / "outside/secret").read_text() == "a"
    assert any(word in shown for word in ("ENOENT", "not found", "No such", "Successfully wrote"))


@pytest.mark.parametrize("name", ALL_TOOL_NAMES)
@pytest.mark.parametrize("confined", ["here", "in the other root"])
def test_every_tool_stays_inside_or_refuses(
    confined: str, name: str, calls: Calls, tmp_path: Path, other_root: tuple[list[str], str]
) -> None:
    prefix, work = other_root
    if confined == "here":
        work = str(tmp_path / "root/work")
        options = confined_to([work])
    else:
        options = confined_to([work], over_prefix(prefix))
    tool = create_tool(name, work, options)
    arguments, expected = INSIDE[name]
    refused = "Commands are not available" if name == "bash" else OUTSIDE_TEXT
    assert (refused if name == "bash" else expected) in outcome(calls, tool, arguments)
    outside = os.path.normpath(f"{work}/../outside")
    arguments = {
        key: value.replace("{}", outside) if isinstance(value, str) else value
        for key, value in OUTSIDE[name].items()
    }
    assert refused in outcome(calls, tool, arguments)
    assert (tmp_path / "root/outside/secret").read_text() == "a"
