"""What each public module offers, and what importing the package costs."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import pi_ai

MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(pi_ai.__path__, "pi_ai.")
    if not any(part.startswith("_") for part in info.name.split("."))
)


def by_kind(name: str) -> tuple[int, str]:
    """The order of `__all__`: constants, classes, functions."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def loaded_by(code: str) -> set[str]:
    """The modules in a fresh interpreter after `code`."""
    script = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return set(done.stdout.split())


@pytest.mark.parametrize("name", ["pi_ai", *MODULES])
def test_all_is_sorted_and_names_what_is_there(name: str) -> None:
    module = importlib.import_module(name)
    names = getattr(module, "__all__", ())
    assert isinstance(names, tuple)
    assert list(names) == sorted(names, key=by_kind)
    assert len(set(names)) == len(names)
    assert [each for each in names if not hasattr(module, each)] == []


@pytest.mark.parametrize("name", MODULES)
def test_all_names_every_public_function_and_class_of_a_module(name: str) -> None:
    module = importlib.import_module(name)
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    defined = {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
    }
    assert defined <= set(getattr(module, "__all__", ()))


def test_the_package_re_exports_exactly_what_it_imports() -> None:
    tree = ast.parse(Path(str(pi_ai.__file__)).read_text(encoding="utf-8"))
    imported = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module != "__future__"
        for alias in node.names
    }
    assert imported == set(pi_ai.__all__)


def test_importing_the_package_loads_no_client_no_adapter_and_no_validator() -> None:
    loaded = loaded_by("import pi_ai")
    assert "pi_ai.models" in loaded
    assert not [name for name in loaded if name.startswith("pi_ai.api")]
    heavy = {"aiohttp", "jsonschema_rs", "docstring_parser", "PIL", "pi_ai.http.client", "yarl"}
    assert not heavy & loaded
    # Each costs milliseconds that most programs would pay for nothing.
    assert not {"difflib", "importlib.resources", "tempfile", "email"} & loaded


def test_looking_up_a_model_and_making_a_stream_load_no_client() -> None:
    loaded = loaded_by(
        "from pi_ai import *\n"
        "stream(get_model('anthropic', 'claude-sonnet-4-5'), Context([UserMessage('hi')]))"
    )
    assert "aiohttp" not in loaded
    assert not [name for name in loaded if name.startswith("pi_ai.api")]
