from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pi_agent.types import ToolError
from pi_tools import (
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
