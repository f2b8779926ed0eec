"""Searching another place, reached through a command prefix.

ripgrep and fd search there if that place has them, else `grep` and `find`: see posix_search.py.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Sequence

from msgspec.structs import replace

from pi_agent.types import ToolError
from pi_tools.encoding import well_formed
from pi_tools.fd import NO_REQUIRE_GIT, NamePattern, NameReader, fd_argv
from pi_tools.line_report import shown_path
from pi_tools.match_lines import MatchReader
from pi_tools.os_errors import FileSystemError
from pi_tools.posix_pattern import PosixPattern, posix_pattern
from pi_tools.prefix import CommandPrefix, Script, run_script, time_limit
from pi_tools.prefixed_files import PrefixedFileOperations
from pi_tools.prefixed_program import ProgramReport, run_program
from pi_tools.ripgrep import ripgrep_argv
from pi_tools.search_operations import ContentSearch, DirectoryEntry, FoundLine, SearchEnd

__all__ = ("PrefixedSearchOperations",)

_UNKNOWN_PATTERN = 104
_NO_IGNORE_FILES = "Searched without {program}, so .gitignore files were not honoured"
# What the arguments of a search program are in the script.
_PATTERN, _PATH, _FD = "\0pattern", "\0path", "\0fd"
_VARIABLES = {_PATTERN: '"$pattern"', _PATH: '"$path"', _FD: '"$fd"'}
_CONTENTS = """\
path=$1 pattern=$2 posix=$3 flags=$4 context=$5 word_edges=$6 name=$7 unknown=$8
run() {{
[ -e "$path" ] || return 101
if [ -d "$path" ]; then
kind=directory
[ -x "$path" ] || return 106
cd -- "$path" || return 100
else
kind=file
[ -f "$path" ] || return 103
fi
if command -v rg >/dev/null; then
begin "rg $kind"
if [ "$kind" = file ]; then {in_file}; else {below}; fi
return
fi
[ -z "$unknown" ] || return 104
begin "grep $kind"
{grep}}}
"""
_PATHS = """\
path=$1
run() {{
[ -e "$path" ] || return 101
[ -d "$path" ] || return 102
[ -x "$path" ] || return 106
cd -- "$path" || return 100
if command -v fd >/dev/null; then fd=fd; else fd=fdfind; fi
if command -v "$fd" >/dev/null; then
folder=$path
while [ -n "$folder" ] && [ ! -e "$folder/.git" ] && [ ! -h "$folder/.git" ]; do
folder=${{folder%/*}}
done
if [ -n "$folder" ] || [ -e /.git ]; then begin fd; {in_repository}; return; fi
if "$fd" --help 2>/dev/null | grep -q -e {no_require_git}; then begin fd; {elsewhere}; return; fi
fi
begin find
{find}}}
"""
_LIST = Script(
    """\
[ -e "$1" ] || fail_as ENOENT
[ -d "$1" ] || fail_as ENOTDIR
[ -r "$1" ] && [ -x "$1" ] || fail_as EACCES
cd -- "$1" || exit 121
begin
for name in * .[!.]* ..?*; do
link=-
if [ -h "$name" ]; then link=l; fi
if [ -d "$name" ]; then kind=d
elif [ -e "$name" ]; then kind=f
elif [ -h "$name" ]; then kind=b
else continue; fi
printf '%s%s%s\\0' "$kind" "$link" "$name"
done
""",
    "scandir",
)
_KINDS: dict[str, bool | None] = {"d": True, "f": False, "b": None}


class PrefixedSearchOperations:
    """What grep, find and ls need, in the place that `prefix` leads to.

    `timeout` is how many seconds one search may take; 0 and None are no limit.
    """

    def __init__(self, prefix: CommandPrefix, *, timeout: float | None = 300) -> None:
        self._prefix = prefix
        self._timeout = time_limit(timeout)
        self._files = PrefixedFileOperations(prefix, timeout=timeout)

    async def search_contents(
        self, path: str, search: ContentSearch, *, take: Callable[[FoundLine], bool]
    ) -> SearchEnd:
        """See `SearchesContents`. Raises ToolError too for what is neither file nor directory."""
        from pi_tools import posix_search  # Few calls need it and the globs it loads.

        token = os.urandom(16).hex()
        posix, unknown = _posix(search)
        accepts = posix_search.file_filter(search.glob)
        feed: Callable[[bytes], Iterator[FoundLine]] | None = None
        kind = ""

        def take_piece(engine: str, data: bytes) -> bool:
            nonlocal feed, kind
            if feed is None:
                kind = engine
                name = shown_path(os.path.basename(path)) if kind.endswith("file") else None
                if kind.startswith("rg"):
                    feed = MatchReader(name).feed
                else:
                    feed = posix_search.GroupReader(token, accepts=accepts, name=name).feed
            return all(map(take, feed(data)))

        flags = f"{'-F' if search.literal else '-E'}{' -i' if search.ignore_case else ''}"
        context = f"-C {search.context}" if search.context else ""
        report = await run_program(
            self._prefix,
            _contents_script(search),
            [
                *(path, search.pattern, posix.text, flags, context),
                *("b" if posix.word_edges else "", posix_search.find_name(search.glob)),
                "x" if unknown else "",
            ],
            token=token,
            take=take_piece,
            timeout=self._timeout,
        )
        if unknown is not None and report.exit_code == _UNKNOWN_PATTERN:
            raise unknown
        _check(report, path)
        if kind.startswith("grep"):
            note = _NO_IGNORE_FILES.format(program="ripgrep") if kind.endswith("directory") else ""
            return SearchEnd(report.errors, note)
        if report.exit_code in (0, 1):
            return SearchEnd()
        return SearchEnd(report.errors or f"ripgrep exited with code {report.exit_code}")

    async def search_names(
        self, pattern: str, directory: str, *, limit: int, take: Callable[[str], bool]
    ) -> SearchEnd:
        """See `SearchesNames`."""
        from pi_tools import posix_search

        wanted = NamePattern.of(pattern)
        fd = NameReader(directory)
        find = NameReader(".", posix_search.name_filter(wanted, directory))
        without_fd = False

        def take_piece(engine: str, data: bytes) -> bool:
            nonlocal without_fd
            without_fd = engine == "find"
            return all(map(take, (find if without_fd else fd).feed(data)))

        report = await run_program(
            self._prefix,
            _paths_script(wanted, limit),
            [directory],
            token=os.urandom(16).hex(),
            take=take_piece,
            timeout=self._timeout,
        )
        _check(report, directory)
        if without_fd:
            return SearchEnd(report.errors, _NO_IGNORE_FILES.format(program="fd"))
        if not report.exit_code or (report.exit_code == 1 and not report.errors):
            return SearchEnd()
        return SearchEnd(report.errors or f"fd exited with code {report.exit_code}")

    async def list_directory(self, path: str) -> list[DirectoryEntry]:
        """See `ListsDirectories`."""
        listed = await run_script(self._prefix, _LIST, path, stdin=b"", timeout=self._timeout)
        return [
            DirectoryEntry(entry[2:], _KINDS[entry[0]], entry[1] == "l")
            for entry in os.fsdecode(listed).split("\0")
            if entry[:1] in _KINDS
        ]

    async def real_path(self, path: str) -> str:
        """`path` with every link in it resolved; it need not exist."""
        return await self._files.real_path(path)

    async def exists(self, path: str) -> bool:
        """Whether the name is taken there, if only by a broken link."""
        return await self._files.exists(path)

    async def home_directory(self) -> str:
        """What HOME is there. Raises ToolError if it is no absolute path."""
        return await self._files.home_directory()


def _contents_script(search: ContentSearch) -> str:
    from pi_tools.posix_search import GREP

    masked = replace(search, pattern=_PATTERN)
    return _CONTENTS.format(
        in_file=_words(ripgrep_argv("rg", masked, _PATH)),
        below=_words(ripgrep_argv("rg", masked, None)),
        grep=GREP,
    )


def _paths_script(wanted: NamePattern, limit: int) -> str:
    from pi_tools.posix_search import NAMES

    return _PATHS.format(
        in_repository=_words(fd_argv(_FD, wanted, _PATH, limit=limit)),
        elsewhere=_words(fd_argv(_FD, wanted, _PATH, limit=limit, more=(NO_REQUIRE_GIT,))),
        no_require_git=NO_REQUIRE_GIT,
        find=NAMES,
    )


def _words(argv: Sequence[str]) -> str:
    return " ".join(_VARIABLES.get(word) or shlex.quote(word) for word in argv)


def _posix(search: ContentSearch) -> tuple[PosixPattern, ToolError | None]:
    """The pattern for grep, or why it has none, which matters only where ripgrep is missing."""
    if search.literal:
        return PosixPattern(search.pattern, False), None
    try:
        return posix_pattern(search.pattern), None
    except ToolError as error:
        return PosixPattern("", False), error


def _check(report: ProgramReport, path: str) -> None:
    """Raise ToolError if the script said why the search could not begin."""
    match report.exit_code:
        case 101:
            raise ToolError(f"Path not found: {well_formed(path)}")
        case 102:
            raise ToolError(f"Not a directory: {well_formed(path)}")
        case 103:
            raise ToolError(f"Not a regular file: {well_formed(path)}")
        case 105:
            raise ToolError(
                "regex parse error: the grep over there does not know \\b. Leave it out, or "
                "install ripgrep (rg) there"
            )
        case 106:
            raise FileSystemError("EACCES", "chdir", well_formed(path))
        case _:
            pass
