"""Other places to run programs in, made of what this machine has."""

from __future__ import annotations

import os
import shutil
import subprocess
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


def in_directory(directory: Path) -> list[str]:
    """A prefix that works everywhere: programs start in `directory`, with a variable set."""
    return ["env", "-C", str(directory), "ELSEWHERE=yes"]


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
    return hasattr(os, "geteuid") and os.geteuid() == 0
