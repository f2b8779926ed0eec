"""What the package exports, and what importing it loads."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from importlib import import_module

import pytest

import pi_session

MODULES = [
    "pi_session",
    *(f"pi_session.{m.name}" for m in pkgutil.iter_modules(pi_session.__path__)),
]


@pytest.mark.parametrize("name", MODULES)
def test_exported_names_exist_and_are_sorted(name: str) -> None:
    module = import_module(name)
    assert module.__doc__
    assert list(module.__all__) == sorted(module.__all__)
    assert all(hasattr(module, exported) for exported in module.__all__)


def test_the_import_loads_no_network_and_no_agent() -> None:
    code = "import pi_session, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    unwanted = {"aiohttp", "pi_agent", "pi_tools", "pi_sdk", "http.client", "shutil"}
    assert not loaded & unwanted
