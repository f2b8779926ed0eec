"""Upstream's server and client for the RPC benchmark: one bundle, which needs no other package."""

from __future__ import annotations

import shutil
import sys
import tarfile
from pathlib import Path

from peers import ENVIRONMENTS, InstallError, find_node, install_with

__all__ = ("prepare_upstream",)

_PACKAGE, _VERSION = "@earendil-works/pi-coding-agent", "1.5.2"


def prepare_upstream(script: Path) -> tuple[str, Path, str]:
    """Node, the directory with the unpacked package and a copy of `script`, and the version.

    Raises `InstallError`.
    """
    node, npm = find_node(), shutil.which("npm")
    home = ENVIRONMENTS / "upstream-rpc"
    mark = home / ".requirement"
    wanted = f"{_PACKAGE}@{_VERSION}"
    if not mark.exists() or mark.read_text(encoding="utf-8") != wanted:
        if npm is None:
            raise InstallError("npm is not installed")
        print(f"fetching {wanted}", file=sys.stderr)
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        install_with([npm, "pack", "--silent", wanted], home)
        with tarfile.open(next(home.glob("*.tgz"))) as archive:
            archive.extractall(home, filter="data")
        mark.write_text(wanted, encoding="utf-8")
    shutil.copy(script, home)
    return node, home, _VERSION
