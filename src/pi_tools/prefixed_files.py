"""Files of another place, reached through a command prefix and ordinary POSIX programs.

Source: tools spec, sections 4 to 6.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

from pi_agent.types import ToolError
from pi_ai import AbortSignal
from pi_tools.binary import BINARY_SNIFF_BYTES
from pi_tools.file_page import PAGE_BYTES, FilePage
from pi_tools.image_types import SNIFF_BYTES, image_mime_type
from pi_tools.prefix import CommandPrefix, Script, run_script, stream_script, time_limit

__all__ = ("PrefixedFileOperations",)

# `ls` says why a path cannot be used, in words that name the error; the shell's own tests do not.
_REACH = """ls -Ld -- "$1" >/dev/null || exit 121\n"""
_REGULAR_FILE = """\
[ ! -d "$1" ] || fail_as EISDIR 122
[ -f "$1" ] || exit 123
"""
_ACCESS = Script(
    _REACH
    + """\
[ -r "$1" ] || fail_as EACCES
[ -z "$2" ] || [ -w "$1" ] || fail_as EACCES
""",
    "access",
)
_READ = Script(f'{_REACH}{_REGULAR_FILE}begin\ncat -- "$1" || exit 121\n', "open", "read")
_HEAD = Script(
    f'{_REACH}begin\n[ -f "$1" ] || exit 0\n'
    f'dd if="$1" bs={SNIFF_BYTES} count=1 2>/dev/null || exit 121\n',
    "open",
)
_SIZE = Script(f'{_REACH}begin\n[ -f "$1" ] || exit 0\nwc -c <"$1" || exit 121\n', "stat")
_MKDIR = Script('mkdir -p -- "$1" || exit 121\n', "mkdir")
_FOLLOW_LINK = """\
hops=$((hops + 1))
[ "$hops" -le 40 ] || fail_as ELOOP
link=$(readlink -- "$path" && echo x) || exit 121
link=${link%?x}
case $link in /*) path=$link ;; *) path=${path%/*}/$link ;; esac
"""
# The file is not touched before all of its new content is there. Then it is written in place, so
# that mode, owner, identity and other hard links stay.
_WRITE = Script(
    f"""\
path=$1
[ ! -e "$path" ] || [ -d "$path" ] || [ -f "$path" ] || exit 123
hops=0
while [ -h "$path" ]; do
{_FOLLOW_LINK}done
[ ! -d "$path" ] || fail_as EISDIR
ls -Ld -- "${{path%/*}}/" >/dev/null || exit 121
[ ! -e "$path" ] || [ -f "$path" ] || exit 123
[ ! -e "$path" ] || [ -w "$path" ] || fail_as EACCES
folder=${{TMPDIR:-/tmp}}
[ -d "$folder" ] && [ -w "$folder" ] || folder=${{path%/*}}
new=$folder/.pi-write-$3
trap 'rm -f -- "$new"' EXIT
trap 'exit 1' HUP INT TERM PIPE
(umask 077 && set -C && cat >"$new") || exit 122
[ "$(wc -c <"$new")" -eq "$2" ] || exit 124
trap '' HUP INT TERM PIPE
true >>"$path" || exit 121
cat -- "$new" >"$path" || exit 122
""",
    "open",
    "write",
)
# What only counts lines stays over there: numbers, the file's head, the chosen lines' beginning
# and their last two bytes come back.
_PAGE = Script(
    f"""\
{_REACH}{_REGULAR_FILE}begin
size=$(($(wc -c <"$1")))
[ "$size" -gt "$4" ] || {{ echo small; cat -- "$1" || exit 121; exit 0; }}
breaks=$(($(wc -l <"$1")))
[ "$2" -le "$breaks" ] || {{ printf '%s 0 0 0\\n' "$breaks"; exit 0; }}
before=0
[ "$2" -eq 0 ] || before=$(head -n "$2" -- "$1" | wc -c)
end=$size
[ -z "$3" ] || end=$(head -n "$3" -- "$1" | wc -c)
selected=$((end - before))
from() {{ tail -c "+$(($1 + 1))" -- "$path"; }}
path=$1
lines=$(from "$before" | head -c "$selected" | wc -l)
first=$(from "$before" | head -n 1 | wc -c)
printf '%s\\n' "$breaks $selected $((lines)) $((first))"
head -c {BINARY_SNIFF_BYTES} -- "$path"
from "$before" | head -c "$selected" | head -c {PAGE_BYTES}
from "$((end - 2))" | head -c 2
""",
    "open",
    "read",
)
# The longest part of the path that is a directory, with its links resolved, and the rest.
_REAL_PATH = Script(
    f"""\
path=$1
rest=
hops=0
while :; do
if [ -h "$path" ]; then
{_FOLLOW_LINK}elif [ -d "$path" ]; then
[ -x "$path" ] || fail_as EACCES
cd -P -- "$path" || exit 121
begin
folder=$(pwd -P && echo x)
folder=${{folder%?x}}
printf '%s%s' "${{folder%/}}" "$rest"
exit 0
else
rest=/${{path##*/}}$rest
path=${{path%/*}}
path=${{path:-/}}
case $rest in /.. | /../*) fail_as ENOENT ;; esac
fi
done
""",
    "realpath",
)

# `-h` for a broken link: its name is taken.
_EXISTS = Script('begin\n[ ! -e "$1" ] && [ ! -h "$1" ] || echo yes\n', "stat")
_HOME = Script('begin\nprintf %s "${HOME-}"\n', "stat")

_SMALL_BYTES = 256 * 1024
_MOST_LINES = 10**15


class PrefixedFileOperations:
    """Files of the place that `prefix` leads to: what every file tool needs.

    Only regular files are read and written. `writable`: `access` also asks for permission to
    write, as `EditOperations` wants it. `timeout` is how many seconds one access may take, a
    transfer included; 0 and None are no limit.
    """

    def __init__(
        self, prefix: CommandPrefix, *, writable: bool = False, timeout: float | None = 300
    ) -> None:
        self._prefix = prefix
        self._writable = "w" if writable else ""
        self._timeout = time_limit(timeout)
        self._home: str | None = None

    async def access(self, path: str) -> None:
        """Raise FileSystemError if the file is missing or may not be read (and written)."""
        await self._run(_ACCESS, path, self._writable)

    async def read_file(self, path: str) -> bytes:
        """The whole file."""
        return await self._run(_READ, path)

    async def detect_image_mime_type(self, path: str) -> str | None:
        """What a regular file's first bytes say."""
        return image_mime_type(await self._run(_HEAD, path))

    async def file_size(self, path: str) -> int | None:
        """The size of a regular file."""
        size = (await self._run(_SIZE, path)).strip()
        return int(size) if size.isdigit() else None

    def create_read_stream(self, path: str, signal: AbortSignal) -> AsyncIterator[bytes]:
        """The file in pieces, sent no faster than they are taken."""
        return stream_script(self._prefix, _READ, path, timeout=self._timeout)

    async def read_page(self, path: str, start: int, limit: int | None) -> FilePage | bytes:
        """The chosen lines of a large file, cut over there, or the whole of a small one."""
        # Larger numbers than a file has lines, and than some shells can count.
        start = min(start, _MOST_LINES)
        end = "" if limit is None else str(min(start + limit, _MOST_LINES))
        found = await self._run(_PAGE, path, str(start), end, str(_SMALL_BYTES))
        numbers, _, rest = found.partition(b"\n")
        if numbers == b"small":
            return rest
        try:
            breaks, selected, lines, first = map(int, numbers.split())
        except ValueError as error:
            raise ToolError(f"{self._prefix.name} gave no line counts for {path}") from error
        head, rest = rest[:BINARY_SNIFF_BYTES], rest[BINARY_SNIFF_BYTES:]
        data, tail = rest[:-2], rest[-2:]
        first -= lines > 0
        if limit is not None and selected and lines == limit and tail.endswith(b"\n"):
            selected, lines, tail = selected - 1, lines - 1, tail[:-1]
        return FilePage(
            start=start,
            limit=limit,
            head=head,
            data=data[:selected],
            line_breaks=breaks,
            selected_bytes=selected,
            selected_line_breaks=lines,
            ends_in_line=selected > 0 and not tail.endswith(b"\n"),
            first_line_bytes=first,
        )

    async def mkdir(self, path: str) -> None:
        """Make the directory and its parents."""
        await self._run(_MKDIR, path)

    async def write_file(self, path: str, data: bytes) -> None:
        """Write in place, once all of `data` has arrived: links are followed, the mode stays.

        A connection that breaks before that leaves the old content.
        """
        await self._run(_WRITE, path, str(len(data)), os.urandom(16).hex(), stdin=data)

    async def real_path(self, path: str) -> str:
        """`path` with every link in it resolved; it need not exist."""
        return os.fsdecode(await self._run(_REAL_PATH, path)) or "/"

    async def exists(self, path: str) -> bool:
        """Whether the name is taken there, if only by a broken link."""
        return bool(await self._run(_EXISTS, path))

    async def home_directory(self) -> str:
        """What HOME is there. Raises ToolError if it is no absolute path."""
        if self._home is None:
            home = os.fsdecode(await self._run(_HOME, "~"))
            if not home.startswith("/"):
                raise ToolError(
                    f"There is no home directory over {self._prefix.name}: HOME is {home!r} there. "
                    "Give an absolute path instead of ~"
                )
            self._home = home
        return self._home

    async def _run(self, script: Script, path: str, *more: str, stdin: bytes = b"") -> bytes:
        return await run_script(
            self._prefix, script, path, *more, stdin=stdin, timeout=self._timeout
        )
