"""What the package exports, and what importing it loads."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from importlib import import_module

import pytest

import pi_sdk

MODULES = ["pi_sdk", *(f"pi_sdk.{module.name}" for module in pkgutil.iter_modules(pi_sdk.__path__))]


@pytest.mark.parametrize("name", MODULES)
def test_exported_names_exist(name: str) -> None:
    module = import_module(name)
    assert module.__doc__
    assert all(hasattr(module, exported) for exported in module.__all__)


@pytest.mark.parametrize("name", ["pi_sdk", "pi_sdk.rpc"])
def test_the_import_loads_no_http_client_and_nothing_optional(name: str) -> None:
    code = f"import {name}, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    unneeded = {"aiohttp", "jsonschema_rs", "docstring_parser", "PIL", "pi_ai.testing", "difflib"}
    assert not loaded & unneeded
