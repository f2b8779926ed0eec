from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from pi_agent.types import ToolError
from pi_tools.paths import (
    absolute_cwd,
    paths_of,
    resolve_read_path,
    resolve_to_cwd,
    resolve_write_path,
    working_directory,
)


@pytest.mark.parametrize(
    ("path", "resolved"),
    [
        ("./a/../b", "/some/cwd/b"),
        ("/abs/../x", "/x"),
        ("/abs//y/", "/abs/y"),
        ("//double", "/double"),
        ("~", "/h"),
        ("@~/x", "/h/x"),
        ("~//x", "/h/x"),
        ("file:///tmp/a\u00a0", "/tmp/a"),
        ("file:///tmp/a%20", "/tmp/a "),
        ("~user/x", "/some/cwd/~user/x"),
        ("@/abs", "/abs"),
        ("@@a", "/some/cwd/@a"),
        (" a ", "/some/cwd/ a "),
        ("", "/some/cwd"),
        ("a\u00a0b", "/some/cwd/a b"),
        ("\u00a0@a", "/some/cwd/ @a"),
        ("a\u1680b", "/some/cwd/a\u1680b"),
        ("a\u2028b", "/some/cwd/a\u2028b"),
        ("a%20b", "/some/cwd/a%20b"),
        ("file:///tmp/a%20b", "/tmp/a b"),
        ("@file:///tmp/q", "/tmp/q"),
        ("file://localhost/tmp/q", "/tmp/q"),
        ("FILE:///tmp/a", "/some/cwd/FILE:/tmp/a"),
    ],
)
def test_tools_check_17_path_resolves(
    path: str, resolved: str, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/h")
    assert run(resolve_to_cwd(path, "/some/cwd")) == resolved
    assert run(resolve_write_path(path, "/some/cwd")) == resolved


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("file://host/tmp", 'File URL host must be "localhost" or empty on linux'),
        ("file:///a%2Fb", "File URL path must not include encoded / characters"),
    ],
)
def test_tools_check_17_file_url_without_local_path_is_refused(
    url: str, text: str, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(ToolError) as caught:
        run(resolve_to_cwd(url, "/some/cwd"))
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a\0b", "A path cannot contain a NUL character"),
        ("file:///a%00b", "A path cannot contain a NUL character"),
        ("file://[a", "Invalid file URL: Invalid IPv6 URL"),
        ("\ud83d", "A path cannot contain U+D83D"),
    ],
    ids=ascii,
)
def test_path_that_cannot_be_is_refused(path: str, text: str, run: Any) -> None:
    for resolve in (resolve_to_cwd, resolve_write_path, resolve_read_path):
        with pytest.raises(ToolError) as caught:
            run(resolve(path, "/some/cwd"))
        assert str(caught.value) == text


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        pytest.param("Shot 10.00\u202fAM.png", "Shot 10.00 AM.png", id="screenshot"),
        pytest.param("lower 1\u202fpm.png", "lower 1 pm.png", id="lower case"),
        pytest.param(unicodedata.normalize("NFD", "café.txt"), "café.txt", id="decomposed"),
        pytest.param("Capture d\u2019cran.txt", "Capture d'cran.txt", id="curly apostrophe"),
        pytest.param(
            unicodedata.normalize("NFD", "Capture d\u2019écran.txt"),
            "Capture d'écran.txt",
            id="decomposed and curly",
        ),
    ],
)
def test_tools_check_18_read_finds_names_spelled_in_another_way(
    name: str, asked: str, run: Any, tmp_path: Path
) -> None:
    (tmp_path / name).write_text("x")
    assert run(resolve_read_path(asked, str(tmp_path))) == str(tmp_path / name)


def test_read_path_without_any_such_file_stays(run: Any, tmp_path: Path) -> None:
    assert run(resolve_read_path("no 1 AM.png", str(tmp_path))) == str(tmp_path / "no 1 AM.png")


def test_tools_check_19_names_that_exist_are_taken_literally(run: Any, tmp_path: Path) -> None:
    for name in ("@types/x.d.ts", "a\u00a0b"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("x")
        assert run(resolve_to_cwd(name, str(tmp_path))) == str(file)
        assert run(resolve_read_path(name, str(tmp_path))) == str(file)


@pytest.mark.parametrize(
    ("path", "resolved"),
    [
        pytest.param("@types/new/y.ts", "@types/new/y.ts", id="existing directory"),
        pytest.param("@typos/y.ts", "typos/y.ts", id="no such directory"),
        pytest.param("plain/a\u00a0b.ts", "plain/a b.ts", id="odd space in a new name"),
    ],
)
def test_write_keeps_the_at_sign_of_an_existing_directory(
    path: str, resolved: str, run: Any, tmp_path: Path
) -> None:
    (tmp_path / "@types").mkdir()
    (tmp_path / "plain").mkdir()
    assert run(resolve_write_path(path, str(tmp_path))) == str(tmp_path / resolved)


def test_working_directory_is_the_hosts_if_it_names_one(home: Path) -> None:
    assert working_directory(None, "/tool") == "/tool"
    assert working_directory(Path("/host/../other"), "/tool") == "/other"
    assert absolute_cwd("~/x") == str(home / "x")
    assert absolute_cwd(".") == str(Path.cwd())


class Elsewhere:
    """Another place, which knows these names; its answers may be asynchronous."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.asked: list[str] = []

    def exists(self, path: str) -> bool:
        self.asked.append(path)
        return path in self.names

    async def home_directory(self) -> str:
        return "/home/there"


@pytest.mark.parametrize(
    ("path", "resolved"),
    [
        ("~/x", "/home/there/x"),
        ("@~", "/home/there"),
        ("@types/x", "/w/@types/x"),
        ("@typos/x", "/w/typos/x"),
        ("d'or", "/w/d\u2019or"),
        ("d'argent", "/w/d'argent"),
    ],
)
def test_another_place_is_asked_for_its_names_and_its_home(
    path: str, resolved: str, run: Any
) -> None:
    place = Elsewhere("/w/@types/x", "/w/d\u2019or")
    assert run(resolve_read_path(path, "/w", place)) == resolved


def test_name_with_one_spelling_costs_no_look(run: Any) -> None:
    place = Elsewhere()
    for path in ("a/b.txt", "/etc/x", "~/y", "file:///z"):
        run(resolve_read_path(path, "/w", place))
        run(resolve_write_path(path, "/w", place))
    assert place.asked == []


def test_operations_that_know_no_paths_leave_it_to_this_machine() -> None:
    place = Elsewhere()
    assert paths_of(place) is place
    assert paths_of(object()).home_directory() == os.path.expanduser("~")
