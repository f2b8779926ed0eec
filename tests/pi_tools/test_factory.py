from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pi_agent.types import ToolError
from pi_ai import AbortSignal
from pi_tools import (
    OnData,
    ToolOptions,
    create_all_tools,
    create_coding_tools,
    create_read_only_tools,
    create_tool,
)

if TYPE_CHECKING:
    from tests.pi_tools.conftest import Calls


def test_coding_tools_come_in_order(tmp_path: Path) -> None:
    tools = create_coding_tools(tmp_path)
    assert [tool.name for tool in tools] == ["read", "bash", "edit", "write"]
    for tool in tools:
        assert tool.label == tool.name
        assert tool.constrained_sampling == {"type": "json_schema", "strict": "prefer"}
        assert tool.execution_mode is None
        assert tool.prompt_snippet
        assert "\n" not in tool.prompt_snippet
        assert len(tool.prompt_guidelines) == (2 if tool.name == "edit" else 1)
        assert (tool.prepare_arguments is not None) is (tool.name == "edit")


def test_search_tools_come_in_order(tmp_path: Path) -> None:
    tools = create_read_only_tools(tmp_path)
    assert [tool.name for tool in tools] == ["read", "grep", "find", "ls"]
    for tool in tools[1:]:
        assert tool.label == tool.name
        assert tool.constrained_sampling is None
        assert tool.execution_mode is None
        assert tool.prompt_snippet
        assert (".gitignore" in tool.prompt_snippet) is (tool.name != "ls")
        assert not tool.prompt_guidelines
        assert tool.prepare_arguments is None


def test_all_tools_come_by_name(tmp_path: Path) -> None:
    tools = create_all_tools(tmp_path)
    assert list(tools) == ["read", "bash", "edit", "write", "grep", "find", "ls"]
    assert all(tool.name == name for name, tool in tools.items())


def types(schema: dict[str, Any]) -> Any:
    match schema["type"]:
        case "object":
            properties = {name: types(part) for name, part in schema["properties"].items()}
            assert set(schema) <= {"type", "required", "properties", "description"}
            return schema.get("required"), properties
        case "array":
            return [types(schema["items"])]
        case simple:
            return simple


def test_parameter_schemas(tmp_path: Path) -> None:
    edit = (["oldText", "newText"], {"oldText": "string", "newText": "string"})
    grep = {"pattern": "string", "path": "string", "glob": "string", "ignoreCase": "boolean"}
    grep |= {"literal": "boolean", "context": "number", "limit": "number"}
    find = {"pattern": "string", "path": "string", "limit": "number"}
    tools = create_all_tools(tmp_path)
    assert {name: types(tool.parameters) for name, tool in tools.items()} == {
        "read": (["path"], {"path": "string", "offset": "number", "limit": "number"}),
        "bash": (["command"], {"command": "string", "timeout": "number"}),
        "edit": (["path", "edits"], {"path": "string", "edits": [edit]}),
        "write": (["path", "content"], {"path": "string", "content": "string"}),
        "grep": (["pattern"], grep),
        "find": (["pattern"], find),
        "ls": (None, {"path": "string", "limit": "number"}),
    }


def test_options_reach_their_tool(calls: Calls, tmp_path: Path) -> None:
    tool = create_tool("bash", tmp_path, {"bash": {"command_prefix": "V=1"}, "read": {}})
    assert calls.text(tool, {"command": "echo $V"}) == "1\n"
    (tmp_path / "bin").mkdir()
    for name in ("rg", "fd"):
        (tmp_path / "bin" / name).write_text("#!/bin/sh\necho broken >&2; exit 2\n")
        (tmp_path / "bin" / name).chmod(0o755)
    options: ToolOptions = {"grep": {"bin_dir": tmp_path / "bin"}, "find": {"engine": "python"}}
    tools = create_all_tools(tmp_path, options)
    with pytest.raises(ToolError, match=r"^broken$"):
        calls.text(tools["grep"], {"pattern": "x"})
    assert calls.text(tools["find"], {"pattern": "rg"}) == "bin/rg"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("powershell", "Unknown tool name: powershell"),
        ("", "Unknown tool name: "),
    ],
)
def test_names_without_a_tool(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"(?i)tool") as caught:
        create_tool(name, "/")
    assert str(caught.value) == text


class InMemory:
    """Operations of every tool, none of them asynchronous."""

    def __init__(self) -> None:
        self.files = {"/r/f": b"old\n"}

    def access(self, path: str) -> None:
        if path not in self.files:
            raise FileNotFoundError(2, "no such file", path)

    def read_file(self, path: str) -> bytes:
        return self.files[path]

    def detect_image_mime_type(self, path: str) -> str | None:
        return None

    def mkdir(self, path: str) -> None:
        pass

    def write_file(self, path: str, data: bytes) -> None:
        self.files[path] = data

    def exists(self, path: str) -> bool:
        return path == "/r" or path in self.files

    def is_directory(self, path: str) -> bool:
        return path == "/r"

    def readdir(self, path: str) -> list[str]:
        return [name.removeprefix("/r/") for name in self.files]

    def glob(self, pattern: str, cwd: str, *, ignore: Sequence[str], limit: int) -> list[str]:
        return list(self.files)

    def exec(
        self,
        command: str,
        cwd: str,
        *,
        on_data: OnData,
        signal: AbortSignal,
        timeout: float | None,
        env: Mapping[str, str],
    ) -> int | None:
        on_data(command.encode())
        return 0


def test_operations_need_not_be_asynchronous(calls: Calls) -> None:
    place = InMemory()
    options: ToolOptions = {
        "read": {"operations": place},
        "bash": {"operations": place},
        "edit": {"operations": place},
        "write": {"operations": place},
        "find": {"operations": place},
        "ls": {"operations": place},
    }
    tools = create_all_tools("/r", options)
    asked: dict[str, dict[str, Any]] = {
        "edit": {"path": "f", "edits": [{"oldText": "old", "newText": "new"}]},
        "read": {"path": "f"},
        "write": {"path": "g", "content": ""},
        "find": {"pattern": "*"},
        "ls": {},
        "bash": {"command": "hi"},
    }
    assert {name: calls.text(tools[name], arguments) for name, arguments in asked.items()} == {
        "edit": "Successfully replaced 1 block(s) in f.",
        "read": "new\n",
        "write": "Successfully wrote to g",
        "find": "f\ng",
        "ls": "f\ng",
        "bash": "hi",
    }
    grep = create_tool("grep", "/r", {"grep": {"operations": place}})
    with pytest.raises(ToolError, match="Path not found: /r"):  # This machine is searched.
        calls.text(grep, {"pattern": "x"})


FACTS = {
    "read": ("jpg, png, gif, webp, bmp", "attached", "2000 lines", "50KB", "offset"),
    "write": ("replaces all", "parent directories"),
    "edit": ("one file", "exact", "original", "once", "not overlap", "one edit", "unchanged"),
    "bash": ("working directory", "stdout and stderr", "last 2000 lines", "50KB", "temporary file"),
    "grep": ("path and line number", ".gitignore", "100 matches", "50KB", "500 characters"),
    "find": ("glob", "relative to the directory", ".gitignore", "1000 results", "50KB"),
    "ls": ("alphabetical", "/ after directories", "begin with a dot", "500 entries", "50KB"),
}
PARAMETER_FACTS = {
    "read": {"path": "relative or absolute", "offset": "from 1", "limit": "lines"},
    "write": {"path": "relative or absolute"},
    "edit": {"path": "relative or absolute"},
    "bash": {"timeout": "no limit by default"},
    "grep": {
        "path": "relative or absolute; default: the working one",
        "glob": "Relative to path; without / it is for names at any depth",
        "ignoreCase": "default: false",
        "literal": "default: false",
        "context": "default: 0",
        "limit": "default: 100",
    },
    "find": {"path": "relative or absolute; default: the working one", "limit": "default: 1000"},
    "ls": {"path": "relative or absolute; default: the working one", "limit": "default: 500"},
}


def test_descriptions_tell_the_model_what_it_has_to_know(tmp_path: Path) -> None:
    for name, tool in create_all_tools(tmp_path).items():
        assert [fact for fact in FACTS[name] if fact not in tool.description] == []
        properties: Any = tool.parameters["properties"]
        assert all(part["description"] for part in properties.values())
        for parameter, fact in PARAMETER_FACTS[name].items():
            assert fact in properties[parameter]["description"]
