"""What the package exports, and what importing it loads."""

from __future__ import annotations

import ast
import pkgutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import pi_tools

MODULES = sorted(info.name for info in pkgutil.walk_packages(pi_tools.__path__, "pi_tools."))


def by_kind(name: str) -> tuple[int, str]:
    """The order of `__all__`: constants, classes, functions."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


@pytest.mark.parametrize("name", ["pi_tools", *MODULES])
def test_exported_names_are_sorted_and_there(name: str) -> None:
    module = import_module(name)
    names = getattr(module, "__all__", ())
    assert module.__doc__
    assert isinstance(names, tuple)
    assert list(names) == sorted(set(names), key=by_kind)
    assert [each for each in names if not hasattr(module, each)] == []


@pytest.mark.parametrize("name", MODULES)
def test_a_module_exports_its_public_functions_and_classes(name: str) -> None:
    module = import_module(name)
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    defined = {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
    }
    assert defined <= set(getattr(module, "__all__", ()))


def test_the_import_loads_nothing_heavy() -> None:
    code = "import sys, pi_tools; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "pi_tools" in loaded
    unwanted = {"PIL", "aiohttp", "jsonschema_rs", "pathspec", "pi_sdk", "pi_session"}
    assert not loaded & (unwanted | {"pi_tools.posix_search", "pi_tools.fallback.globs"})
