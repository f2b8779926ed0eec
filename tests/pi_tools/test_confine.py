from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pi_tools import Confinement, PathOutsideRootsError


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Two roots, a directory beside them whose name starts like one, and links between them."""
    world = tmp_path.resolve()
    for name in ("allowed/deep", "other", "allowed-like", "outside"):
        (world / name).mkdir(parents=True)
    for name in ("allowed/f", "allowed/deep/f", "other/f", "allowed-like/f", "outside/f"):
        (world / name).write_text(name)
    links = {
        "allowed/out": "../outside",
        "allowed/out-file": "../outside/f",
        "allowed/absolute": str(world / "outside"),
        "allowed/inside": "deep/../deep",
        "allowed/to-other": "../other",
        "allowed/broken-out": "../outside/new",
        "allowed/broken-in": "deep/new",
        "allowed/hop": "inside/../out",
        "allowed/loop": "loop",
        "link-to-allowed": "allowed",
    }
    for name, target in links.items():
        (world / name).symlink_to(target)
    return world


@pytest.mark.parametrize(
    ("path", "real"),
    [
        ("allowed", "allowed"),
        ("allowed/f", "allowed/f"),
        ("allowed/new/deeper", "allowed/new/deeper"),
        ("allowed/deep/../f", "allowed/f"),
        ("allowed/inside/f", "allowed/deep/f"),
        ("allowed/to-other/f", "other/f"),
        ("allowed/broken-in", "allowed/deep/new"),
        ("link-to-allowed/f", "allowed/f"),
        ("outside/../allowed/f", "allowed/f"),
        ("allowed/out", None),
        ("allowed/out/f", None),
        ("allowed/out-file", None),
        ("allowed/absolute/f", None),
        ("allowed/broken-out", None),
        ("allowed/hop/f", None),
        ("allowed/deep/../../outside/f", None),
        ("allowed/../outside/f", None),
        ("allowed-like/f", None),
        ("outside/f", None),
        ("", None),
    ],
)
def test_real_path_decides(path: str, real: str | None, world: Path) -> None:
    confinement = Confinement([world / "allowed", world / "other"])
    if real is not None:
        assert confinement.check(f"{world}/{path}") == f"{world}/{real}"
        return
    with pytest.raises(PathOutsideRootsError) as caught:
        confinement.check(f"{world}/{path}")
    assert str(caught.value) == (
        f"Path is outside the allowed directories: {world}/{path}. "
        f"Allowed: {world}/allowed, {world}/other"
    )


def test_root_that_is_a_link_means_what_it_leads_to_now(world: Path) -> None:
    confinement = Confinement([world / "link-to-allowed"])
    assert confinement.roots == (f"{world}/allowed",)
    assert confinement.check(f"{world}/link-to-allowed/f") == f"{world}/allowed/f"
    (world / "link-to-allowed").unlink()
    (world / "link-to-allowed").symlink_to("outside")
    with pytest.raises(PathOutsideRootsError):
        confinement.check(f"{world}/link-to-allowed/f")


def test_file_system_root_allows_everything(world: Path) -> None:
    assert Confinement(["/"]).check(f"{world}/allowed/out/f") == f"{world}/outside/f"


@pytest.mark.parametrize(
    ("roots", "shown"),
    [
        ([], "roots: expected at least one directory in a list, got []"),
        ("/tmp", "roots: expected at least one directory in a list, got '/tmp'"),
        (["/no/such"], "roots: not a directory: /no/such. Make it, or name another one."),
    ],
    ids=["none", "string", "missing"],
)
def test_roots_that_cannot_be(roots: list[str], shown: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the whole text is compared
        Confinement(roots)
    assert str(caught.value) == shown


STEPS = st.lists(
    st.sampled_from(["deep", "f", "out", "inside", "to-other", "broken-out", "hop", "..", "new"]),
    max_size=5,
)


@given(STEPS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_reached_is_what_was_checked(world: Path, steps: list[str]) -> None:
    path = "/".join([str(world / "allowed"), *steps])
    roots = [world / "allowed", world / "other"]
    confinement = Confinement(roots)
    real = Path(os.path.realpath(path))
    if not any(real == root or root in real.parents for root in roots):
        with pytest.raises(PathOutsideRootsError):
            confinement.reach(path, lambda name, folder: None)
        return

    def look(name: str, folder: int) -> tuple[int, int]:
        info = os.stat(name, dir_fd=folder, follow_symlinks=False)
        return info.st_dev, info.st_ino

    try:
        expected = real.stat()
    except OSError as error:
        with pytest.raises(type(error)):
            confinement.reach(path, look)
    else:
        assert confinement.reach(path, look) == (expected.st_dev, expected.st_ino)
    assert sorted(os.listdir(world / "outside")) == ["f"]
