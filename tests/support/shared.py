"""The recordings and request cases, which live beside the repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared"

needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the shared recordings are not beside this checkout"
)


def cases(folder: str, prefix: str, suffix: str = ".json") -> list[Any]:
    """Parameters for every file of a folder that starts with `prefix`; one that skips if none."""
    found = sorted((SHARED / folder).glob(f"{prefix}*{suffix}"))
    if not found:
        return [pytest.param(None, id="absent", marks=needs_shared)]
    return [pytest.param(path, id=path.name.removesuffix(suffix)) for path in found]


def load(path: Path, base_url: str) -> Any:
    """A case with `{BASE}` replaced."""
    return json.loads(path.read_text().replace("{BASE}", base_url))
