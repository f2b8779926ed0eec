"""Every test runs without keys, without the user's files, and on loopback only."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from pi_ai.catalog.providers import PROVIDERS

# A machine that is busy with something else is no fault of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def clean_environment(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    for row in PROVIDERS.values():
        for name in row.env:
            monkeypatch.delenv(name, raising=False)
    for name in [name for name in os.environ if name.startswith("PI_")]:
        monkeypatch.delenv(name)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
