"""Git worktrees inside their checkout, made by git itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pi_sdk.resources import read_context_files
from pi_sdk.worktrees import NestedWorktree, find_nested_worktree


def git(directory: Path, *arguments: str) -> None:
    who = ["-c", "user.name=x", "-c", "user.email=x@y", "-c", "protocol.file.allow=always"]
    subprocess.run(["git", *who, *arguments], cwd=directory, check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    main = tmp_path / "main"
    main.mkdir()
    git(main, "init", "-q")
    git(main, "commit", "-q", "--allow-empty", "-m", "x")
    return main


def test_a_worktree_inside_its_checkout_is_found_from_below(checkout):
    git(checkout, "worktree", "add", "trees/one")
    root = checkout / "trees" / "one"
    (root / "deep").mkdir()
    expected = NestedWorktree(root, checkout)
    assert find_nested_worktree(root) == expected
    assert find_nested_worktree(root / "deep") == expected
    assert find_nested_worktree(checkout) is None


def test_it_is_found_by_another_name(checkout, tmp_path):
    git(checkout, "worktree", "add", "one")
    (tmp_path / "link").symlink_to(checkout)
    link = tmp_path / "link"
    assert find_nested_worktree(link / "one") == NestedWorktree(link / "one", link)


def test_a_worktree_beside_its_checkout_is_none(checkout, tmp_path):
    git(checkout, "worktree", "add", "../beside")
    assert find_nested_worktree(tmp_path / "beside") is None


def test_a_submodule_is_none(checkout, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    git(other, "commit", "-q", "--allow-empty", "-m", "x")
    git(checkout, "submodule", "add", "-q", str(other), "sub")
    assert (checkout / "sub" / ".git").is_file()
    assert find_nested_worktree(checkout / "sub") is None


def test_a_worktree_of_a_bare_repository_is_none(checkout, tmp_path):
    git(tmp_path, "clone", "-q", "--bare", "main", "bare/.git")
    git(tmp_path / "bare" / ".git", "worktree", "add", "../one")
    assert find_nested_worktree(tmp_path / "bare" / "one") is None


@pytest.mark.parametrize("text", ["", "gitdir: ", "gitdir: /nowhere", "x" * 100])
def test_a_strange_git_file_is_none(tmp_path, text):
    (tmp_path / ".git").write_text(text)
    assert find_nested_worktree(tmp_path) is None


@pytest.mark.parametrize(
    ("own", "mains", "read"),
    [
        ("AGENTS.md", "AGENTS.md", ["own"]),
        ("AGENTS.md", "CLAUDE.md", ["main", "own"]),
        (None, "AGENTS.md", ["main"]),
    ],
    ids=["same name", "another name", "none of its own"],
)
def test_the_checkouts_context_file_gives_way_to_the_worktrees(
    checkout, agent_dir, own, mains, read
):
    git(checkout, "worktree", "add", "one")
    (checkout / mains).write_text("main")
    if own:
        (checkout / "one" / own).write_text("own")
    files = read_context_files(checkout / "one", agent_dir)
    assert [file.content for file in files if checkout in file.path.parents] == read
