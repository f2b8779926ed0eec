"""Sessions, their costs and their differences as text for a terminal.

No control character, escape sequence or direction mark of a session gets through.
"""

from __future__ import annotations

from pi_session.branches import BranchDiff
from pi_session.entries import Entry
from pi_session.outline import Gap, OutlineRow, build_digest, build_outline
from pi_session.plain_text import counted, one_line, usd
from pi_session.stats import SessionStats, UsageRow
from pi_session.tree import SessionTree

__all__ = ("diff_text", "stats_line", "stats_text", "tree_text", "usage_table")

_ID_LIMIT = 40
_LABEL_LIMIT = 40
_NAME_LIMIT = 60
_LEAST_TEXT = 20
_TIME_WIDTH = 14
_DEEPEST = 12
_SHOWN_TOOLS = 8


# --- the tree -----------------------------------------------------------------------------------


def tree_text(session: SessionTree, *, newest: int | None = None, width: int = 100) -> str:
    """The tree with one line per entry: marker, id, time (UTC), what it says, cost, label.

    `*` marks the active branch and `>` the leaf; a branch that was left is indented above the
    entries that came after it. `!` is before what failed. `newest` shows only that many entries,
    the last of the file. `width` is the length in characters that a line is cut to.
    """
    rows = build_outline(session, newest)
    ids = [_id(row.entry.id) for row in rows if isinstance(row, OutlineRow)]
    id_width = max(map(len, ids), default=0)
    lines: list[str] = []
    for row in rows:
        if isinstance(row, Gap):
            hidden = counted(row.entries, "entry", "entries")
            lines.append(f"  {'':{id_width}} {'':{_TIME_WIDTH}} {_graph(row.depth)}… {hidden}")
            continue
        leaf = row.entry.id == session.leaf_id
        marker = ">" if leaf else "*" if row.active else " "
        graph = _graph(row.depth, opens=row.opens)
        start = f"{marker} {_id(row.entry.id):{id_width}} {_time(row.entry)} {graph}"
        lines.append(start + _said(row.entry, width - len(start), label=row.label))
    return "\n".join(lines)


def _graph(depth: int, *, opens: bool = False) -> str:
    if depth > _DEEPEST:
        return f"| ({depth}) "
    return "| " * (depth - 1) + "|-" if opens else "| " * depth


def _said(entry: Entry, room: int, *, label: str | None = None) -> str:
    """Kind and text, cut so that tool calls, cost and label have room behind them."""
    digest = build_digest(entry)
    end = f" {usd(digest.cost)}" if digest.cost else ""
    if label:
        end += f" #{one_line(label, _LABEL_LIMIT)}"
    if digest.calls:
        calls = f"[{', '.join(digest.calls)}]"
        end = f" {one_line(calls, max((room - len(end)) // 2, _LEAST_TEXT))}{end}"
    said = f"{'!' if digest.failed else ''}{digest.kind} {digest.text}"
    return one_line(said, max(room - len(end), _LEAST_TEXT)) + end


def _id(entry_id: str) -> str:
    return one_line(entry_id, _ID_LIMIT)


def _time(entry: Entry) -> str:
    """Month, day and time of day, in a column of its own."""
    shown = one_line(entry.timestamp[5:19].replace("T", " "), _TIME_WIDTH)
    return f"{shown:{_TIME_WIDTH}}"


# --- costs --------------------------------------------------------------------------------------


def stats_text(stats: SessionStats) -> str:
    """What was counted, and a table of usage and cost by model."""
    table = usage_table(stats)
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    lines = [stats_line(stats)]
    for name, *numbers in table:
        padded = (f"{text:>{width}}" for text, width in zip(numbers, widths[1:], strict=True))
        lines.append("  ".join([f"{name:{widths[0]}}", *padded]))
    if stats.usage.cost.unpriced:
        lines.append("+ some of it has no known price")
    return "\n".join(lines)


def stats_line(stats: SessionStats) -> str:
    """What was counted, in one line."""
    tools = [f"{one_line(name, _LABEL_LIMIT)} {count}" for name, count in stats.tools.items()]
    if len(tools) > _SHOWN_TOOLS:
        tools[_SHOWN_TOOLS:] = [f"{len(tools) - _SHOWN_TOOLS} more tools"]
    parts = [
        counted(stats.entries, "entry", "entries"),
        f"{counted(stats.total_messages, 'message')} ({stats.user_messages:,} user, "
        f"{stats.assistant_messages:,} assistant)",
        counted(stats.tool_calls, "tool call") + (f" ({', '.join(tools)})" if tools else ""),
        counted(stats.tool_errors, "tool error"),
    ]
    return ", ".join(parts)


def usage_table(stats: SessionStats, limit: int | None = None) -> list[list[str]]:
    """Usage and cost by model as cells: a head, a row per model, the total if there are several.

    Past `limit` rows the cheaper models are only counted.
    """
    shown = stats.by_model if limit is None else stats.by_model[:limit]
    head = ["model", "calls", "failed", "input", "output", "cache read", "cache write", "cost"]
    table = [head, *map(_cells, shown)]
    hidden = len(stats.by_model) - len(shown)
    if hidden:
        table.append([f"… {hidden} more", *[""] * (len(head) - 1)])
    if len(stats.by_model) != 1:
        calls = sum(row.calls for row in stats.by_model)
        failed = sum(row.failed for row in stats.by_model)
        table.append(_cells(UsageRow("total", None, None, calls, failed, stats.usage)))
    return table


def _cells(row: UsageRow) -> list[str]:
    usage = row.usage
    numbers = (
        row.calls,
        row.failed,
        usage.input,
        usage.output,
        usage.cache_read,
        usage.cache_write,
    )
    cost = usd(usage.cost.total) + ("+" if usage.cost.unpriced else "")
    return [one_line(row.name, _NAME_LIMIT), *(f"{number:,}" for number in numbers), cost]


# --- differences --------------------------------------------------------------------------------


def diff_text(diff: BranchDiff, *, width: int = 100) -> str:
    """What is only in a (`-`) and only in b (`+`), one line per entry, under counts and cost."""
    common = diff.common_ancestor_id
    lines = [f"common ancestor: {'none' if common is None else _id(common)}"]
    sides = ((diff.a, diff.only_a, diff.stats_a, "-"), (diff.b, diff.only_b, diff.stats_b, "+"))
    for end, entries, stats, sign in sides:
        counts = f"{counted(stats.entries, 'entry', 'entries')}, "
        counts += counted(stats.total_messages, "message")
        lines.append(f"only in {_id(end)}: {counts}, {usd(stats.usage.cost.total)}")
        for entry in entries:
            start = f"{sign} {_id(entry.id)} {_time(entry)} "
            lines.append(start + _said(entry, width - len(start)))
    return "\n".join(lines)
