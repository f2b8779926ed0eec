"""What a session has used and cost: messages counted, usage by model and by kind of entry.

Reads of each line only what is counted, and keeps nothing of it. Source: session spec, section
14.6; sdk spec, section 14.3.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias, cast

import msgspec
from msgspec import Struct

from pi_ai.cost import sum_usage
from pi_ai.types import AssistantMessage, Cost, JsonObject, ToolResultMessage, Usage
from pi_ai.wire import decoder_for
from pi_session.entries import (
    BranchSummaryEntry,
    CompactionEntry,
    Entry,
    MessageEntry,
    UsageEntry,
)
from pi_session.plain_text import counted, usd

__all__ = (
    "Billed",
    "SessionStats",
    "UsageRow",
    "UsageSource",
    "read_billed",
    "session_stats",
    "total_usage",
)

UsageSource: TypeAlias = Literal["assistant", "toolResult", "usage", "compaction", "branch_summary"]
"""The kinds of entry that carry usage: two roles of messages, three types of entries."""


class Billed(Struct):
    """The usage of one entry. `provider` and `model` are None where the entry names none.

    `failed`: the answer ended in an error or was aborted; what it had used by then counts.
    """

    source: UsageSource
    provider: str | None
    model: str | None
    usage: Usage
    failed: bool = False


class UsageRow(Struct):
    """What several entries have used together; costs are in USD.

    `name` is `provider/model`, or the kind of entry. `calls` is how many entries there were,
    `failed` how many of them were answers that ended in an error or were aborted.
    """

    name: str
    provider: str | None
    model: str | None
    calls: int
    failed: int
    usage: Usage

    def record(self) -> JsonObject:
        """The row as a flat dict, for a data frame or a CSV file."""
        usage, cost = self.usage, self.usage.cost
        return {
            "name": self.name,
            "provider": self.provider,
            "model": self.model,
            "calls": self.calls,
            "failed": self.failed,
            "input_tokens": usage.input,
            "output_tokens": usage.output,
            "cache_read_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write,
            "total_tokens": usage.total_tokens,
            "input_cost": cost.input,
            "output_cost": cost.output,
            "cache_read_cost": cost.cache_read,
            "cache_write_cost": cost.cache_write,
            "total_cost": cost.total,
            "total_from_provider": bool(cost.total_from_provider),
            "unpriced": bool(cost.unpriced),
        }


class SessionStats(Struct):
    """Counts and costs of some entries: of all branches, or of one.

    `total_messages` counts every message, those of the system and shell commands included.
    `tools` has the calls by tool name, `tool_errors` the results that say a call failed. `usage`
    is everything together: answers, tool results, calls that are no message, summaries.
    `by_model` parts it by model, most expensive first; what names no model stands there by its
    kind, so the rows add up to `usage`. `by_source` parts it by kind of entry.

    `usage.cost.unpriced` says that some tokens had no known price, `total_from_provider` that
    every cost is what a provider billed.
    """

    entries: int = 0
    total_messages: int = 0
    user_messages: int = 0
    assistant_messages: int = 0
    tool_calls: int = 0
    tool_results: int = 0
    tool_errors: int = 0
    tools: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    usage: Usage = msgspec.field(default_factory=Usage)
    by_model: list[UsageRow] = msgspec.field(default_factory=list[UsageRow])
    by_source: list[UsageRow] = msgspec.field(default_factory=list[UsageRow])

    def records(self) -> list[JsonObject]:
        """`by_model` as flat dicts, for a data frame or a CSV file."""
        return [row.record() for row in self.by_model]

    def __repr__(self) -> str:
        counts = f"{counted(self.entries, 'entry', 'entries')}, "
        counts += counted(self.total_messages, "message")
        return f"<SessionStats {counts}, {usd(self.usage.cost.total)}>"

    def __str__(self) -> str:
        from pi_session.text_view import stats_text

        return stats_text(self)

    def _repr_html_(self) -> str:
        from pi_session.html_view import stats_html

        return stats_html(self)


_Groups: TypeAlias = dict[tuple[str, str | None, str | None], list[Billed]]
"""Usages by name, provider and model of their row."""


def session_stats(entries: Iterable[Entry]) -> SessionStats:
    """Counts and costs of `entries`, such as `session.get_entries()` or a branch."""
    stats = SessionStats()
    models: _Groups = {}
    sources: _Groups = {}
    for entry in entries:
        stats.entries += 1
        line = _read_line(entry)
        if entry.type == "message":
            _count(stats, line.message)
        billed = _billed(entry, line)
        if billed is not None:
            models.setdefault(_model_key(billed), []).append(billed)
            sources.setdefault((billed.source, None, None), []).append(billed)
    stats.by_model = _rows(models)
    stats.by_source = _rows(sources)
    stats.usage = total_usage(billed.usage for group in sources.values() for billed in group)
    stats.tools = dict(sorted(stats.tools.items(), key=lambda item: (-item[1], item[0])))
    return stats


def read_billed(entry: Entry) -> Billed | None:
    """The usage that an entry carries; None if it carries none."""
    return _billed(entry, _read_line(entry))


def total_usage(usages: Iterable[Usage]) -> Usage:
    """The sum. What used nothing, as a failed answer may, has no say in where costs come from."""
    parts = list(usages)
    total = sum_usage(parts)
    used = [part.cost for part in parts if part.total_tokens or part.cost.total]
    total.cost.total_from_provider = bool(used) and all(cost.total_from_provider for cost in used)
    return total


def _count(stats: SessionStats, message: _Message) -> None:
    stats.total_messages += 1
    match message.role:
        case "user":
            stats.user_messages += 1
        case "assistant":
            stats.assistant_messages += 1
            for block in message.content if isinstance(message.content, list) else ():
                if block.type == "toolCall":
                    stats.tool_calls += 1
                    stats.tools[block.name] = stats.tools.get(block.name, 0) + 1
        case "toolResult":
            stats.tool_results += 1
            stats.tool_errors += message.is_error
        case _:
            pass


def _model_key(billed: Billed) -> tuple[str, str | None, str | None]:
    if billed.provider is None and billed.model is None:
        return billed.source, None, None
    return f"{billed.provider or ''}/{billed.model or ''}", billed.provider, billed.model


def _rows(groups: _Groups) -> list[UsageRow]:
    rows = [
        UsageRow(
            *key,
            calls=len(group),
            failed=sum(billed.failed for billed in group),
            usage=total_usage(billed.usage for billed in group),
        )
        for key, group in groups.items()
    ]
    return sorted(rows, key=lambda row: (-row.usage.cost.total, row.name))


# --- one line -----------------------------------------------------------------------------------


class _Usage(Struct, rename="camel"):
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int | None = msgspec.field(default=None, name="cacheWrite1h")
    reasoning: int | None = None
    total_tokens: int | None = 0
    cost: Cost | None = None


class _Block(Struct):
    type: str = ""
    name: str = ""


class _Message(Struct, rename="camel"):
    role: str = ""
    content: str | list[_Block] | None = None
    provider: str = ""
    model: str = ""
    stop_reason: str = ""
    is_error: bool = False
    usage: _Usage | None = None


class _Line(Struct):
    message: _Message = msgspec.field(default_factory=_Message)
    provider: str = ""
    model: str = ""
    usage: _Usage | None = None


_COUNTED = frozenset({"message", "usage", "compaction", "branch_summary"})


def _read_line(entry: Entry) -> _Line:
    if entry.type not in _COUNTED:
        return _Line()
    try:
        return decoder_for(_Line).decode(entry.line)
    except (ValueError, RecursionError):
        return _read_line_leniently(entry)


def _read_line_leniently(entry: Entry) -> _Line:
    """What can be read of a line that has a part of another type than it should."""
    match entry.view:
        case MessageEntry(message=AssistantMessage() as message):
            calls = [_Block("toolCall", call.name) for call in message.tool_calls]
            return _Line(
                _Message(
                    "assistant",
                    calls,
                    provider=message.provider,
                    model=message.model,
                    stop_reason=message.stop_reason,
                    usage=_plain(message.usage),
                )
            )
        case MessageEntry(message=ToolResultMessage() as message):
            return _Line(
                _Message("toolResult", is_error=message.is_error, usage=_plain(message.usage))
            )
        case UsageEntry() as view:
            return _Line(provider=view.provider, model=view.model, usage=_plain(view.usage))
        case CompactionEntry() | BranchSummaryEntry() as view:
            return _Line(usage=_plain(view.usage))
        case _:
            return _Line(_Message(entry.role or ""))


def _plain(usage: Usage | None) -> _Usage | None:
    return None if usage is None else msgspec.convert(usage, _Usage, from_attributes=True)


def _billed(entry: Entry, line: _Line) -> Billed | None:
    message = line.message
    match entry.type, message.role:
        case "message", "assistant":
            failed = message.stop_reason in {"error", "aborted"}
            usage = _usage(message.usage or _Usage(cost=Cost()))
            return Billed(
                "assistant", message.provider or None, message.model or None, usage, failed
            )
        case "message", "toolResult" if message.usage is not None:
            return Billed("toolResult", None, None, _usage(message.usage))
        case "usage", _ if line.usage is not None:
            return Billed("usage", line.provider or None, line.model or None, _usage(line.usage))
        case (("compaction" | "branch_summary"), _) if line.usage is not None:
            source = cast("UsageSource", entry.type)
            return Billed(source, None, None, _usage(line.usage))
        case _:
            return None


def _usage(found: _Usage) -> Usage:
    """Files of format 1 have no total of tokens, and usage without a price says so."""
    counted = found.input + found.output + found.cache_read + found.cache_write
    cost = found.cost
    if cost is None:
        cost = Cost(unpriced=True) if counted else Cost()
    return Usage(
        input=found.input,
        output=found.output,
        cache_read=found.cache_read,
        cache_write=found.cache_write,
        cache_write_1h=found.cache_write_1h,
        reasoning=found.reasoning,
        total_tokens=found.total_tokens or counted,
        cost=cost,
    )
