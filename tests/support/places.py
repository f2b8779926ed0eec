"""Other places to run programs in, made of what this machine has."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ENTER = """\
root=$1
shift
for folder in usr bin sbin lib lib32 lib64 etc dev; do
[ -d "/$folder" ] || continue
mkdir -p "$root/$folder"
mount --rbind "/$folder" "$root/$folder" || exit 1
done
exec chroot "$root" "$@"
"""


def in_root(root: Path) -> list[str] | None:
    """A prefix for which `root` is `/`, with this machine's programs in it, where that works."""
    if shutil.which("unshare") is None:
        return None
    (root / "work").mkdir(parents=True, exist_ok=True)
    (root / "tmp").mkdir(exist_ok=True)
    prefix = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        _ENTER,
        "sh",
        str(root),
    ]
    tried = subprocess.run([*prefix, "sh", "-c", "true"], capture_output=True, check=False)
    return prefix if tried.returncode == 0 else None


def is_root() -> bool:
    """Whether permissions mean nothing to this process."""
    return os.geteuid() == 0


@contextmanager
def bound_by_permissions(folder: Path) -> Iterator[None]:
    """The block runs as a user who may enter `folder` but owns nothing in it, if root runs it."""
    for parent in (folder, *folder.parents):
        # The user changes, the group stays.
        if parent.stat().st_mode & 0o055 != 0o055:
            parent.chmod(parent.stat().st_mode | 0o055)
    if not is_root():
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def make_socket(folder: Path, name: str) -> None:
    """A socket's name in `folder`, however long the folder's own name is."""
    here = os.open(".", os.O_RDONLY)
    os.chdir(folder)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(name)
    finally:
        os.fchdir(here)
        os.close(here)
