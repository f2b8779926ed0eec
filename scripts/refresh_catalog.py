"""Refreshes src/pi_ai/catalog/data from upstream's published model catalogue.

    python scripts/refresh_catalog.py 1.5.2          # fetches the package with `npm pack`
    python scripts/refresh_catalog.py --from DIR     # reads an unpacked package instead

Facts only: ids, names, endpoints, limits, prices and compatibility flags of chat models whose wire
format this library speaks. One file per provider, one model per line, in upstream's order.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from pi_ai.provider import KNOWN_APIS
from pi_ai.types import Model

TARGET = Path(__file__).resolve().parent.parent / "src/pi_ai/catalog/data"
PACKAGE = "@earendil-works/pi-ai"
FIELDS = {field.encode_name for field in msgspec.structs.fields(Model)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("version", nargs="?", default="latest")
    parser.add_argument("--from", dest="source", type=Path, help="an unpacked package")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        source = arguments.source or fetch(arguments.version, Path(scratch))
        return refresh(source / "dist/providers/data")


def fetch(version: str, scratch: Path) -> Path:
    """The unpacked package of a version."""
    command = ["npm", "pack", "--silent", f"{PACKAGE}@{version}"]
    name = subprocess.run(command, cwd=scratch, check=True, capture_output=True, text=True).stdout
    with tarfile.open(scratch / name.split()[-1]) as archive:
        archive.extractall(scratch, filter="data")
    return scratch / "package"


def refresh(data: Path) -> int:
    """Rewrite every file of the catalogue; returns the exit status."""
    written = 0
    for old in TARGET.glob("*.json"):
        old.unlink()
    for path in sorted(data.glob("*.json")):
        if path.name.startswith("."):
            continue
        entries = [
            converted
            for by_id in json.loads(path.read_text()).values()
            for entry in by_id.values()
            if (converted := convert(entry)) is not None
        ]
        if entries:
            lines = [json.dumps(e, ensure_ascii=False, separators=(",", ":")) for e in entries]
            (TARGET / path.name).write_text("[\n" + ",\n".join(lines) + "\n]\n")
            written += len(entries)
            print(f"{path.stem}: {len(entries)} models")
    print(f"{written} models in all")
    return 0 if written else 1


def convert(entry: dict[str, Any]) -> dict[str, Any] | None:
    """An entry as it is stored, or None if this library cannot use it."""
    if entry.get("type", "chat") != "chat":
        return None
    entry = {key: value for key, value in entry.items() if key in FIELDS and key != "type"}
    if entry["api"] not in KNOWN_APIS:
        return None
    msgspec.convert(entry, Model)  # refuses what could not be read back
    return entry


if __name__ == "__main__":
    sys.exit(main())
