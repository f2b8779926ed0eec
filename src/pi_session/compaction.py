"""Compaction: the older part of a context replaced by a summary that a model writes.

`compact_session` does all of it; its steps can be taken one by one. Nothing here knows an agent
or a provider. Source: session spec, section 14.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from pi_ai.abort import AbortSignal
from pi_ai.cost import sum_usage
from pi_ai.types import SystemMessage, Usage, Wire
from pi_ai.wire import to_json_value
from pi_session.compaction_prompts import history_request, turn_prefix_request
from pi_session.compaction_settings import CompactionSettings, fit_settings_to_window
from pi_session.convert import conversation_parts, convert_to_llm
from pi_session.cut_points import find_projected_cut_point
from pi_session.entries import CompactionEntry, Entry
from pi_session.errors import CompactionError, SessionReadOnlyError
from pi_session.estimation import estimate_projected_context_tokens, sum_estimates
from pi_session.file_tracking import (
    FileLists,
    FileOperations,
    collect_file_operations,
    format_file_lists,
    list_files,
    strip_file_lists,
)
from pi_session.manager import SessionManager
from pi_session.messages import CompactionSummaryMessage, SessionMessage
from pi_session.oversize import find_oversized_results
from pi_session.projection import ProjectedEntry, Projection, build_projection
from pi_session.summarizing import Summarizer, SummaryRequest, check_unmoved, request_summary

__all__ = (
    "CompactionPreparation",
    "CompactionResult",
    "append_compaction_result",
    "compact",
    "compact_session",
    "explain_nothing_to_compact",
    "prepare_compaction",
)

_NO_HISTORY = "No prior history."
_TURN_HEADING = "\n\n---\n\n**Turn Context (split turn):**\n\n"


class CompactionPreparation(Struct, kw_only=True):
    """What a compaction will do.

    The messages are summarised in two parts if the cut goes through a turn: the history before
    that turn, and the turn's beginning. `previous_summary` is the one that is brought up to date.
    """

    first_kept_entry_id: str
    messages_to_summarize: list[SessionMessage]
    turn_prefix_messages: list[SessionMessage]
    is_split_turn: bool
    tokens_before: int
    previous_summary: str | None
    file_ops: FileOperations
    settings: CompactionSettings


class CompactionResult(Wire, kw_only=True):
    """A summary and what it replaces. `usage` is what it cost.

    `estimated_tokens_after` is about the new context, None before the summary is in force.
    `details` is None if another program wrote the summary and says nothing of files.
    """

    summary: str
    first_kept_entry_id: str
    tokens_before: int
    estimated_tokens_after: int | None = None
    usage: Usage | None = None
    details: FileLists | None = None


# --- the whole --------------------------------------------------------------------------------


async def compact_session(
    session: SessionManager,
    summarizer: Summarizer,
    *,
    settings: CompactionSettings | None = None,
    custom_instructions: str | None = None,
    signal: AbortSignal | None = None,
) -> CompactionResult:
    """Summarise the older part of the active branch, and put the summary in its place.

    The settings are fitted to the window of the summarizer's model. Tool results too long for
    what is left are shortened by context edits. Raises `CompactionError` if there is nothing to
    compact, `SessionMovedError` if the branch was left meanwhile, `SummaryError`, `AbortError`, and
    what the model call raises; nothing is appended then. Also raises what appending does.
    """
    if session.read_only:  # before anything is paid for
        raise SessionReadOnlyError("A session that cannot be written cannot be compacted")
    window = summarizer.model.context_window
    settings = fit_settings_to_window(settings or CompactionSettings(), window)
    branch = session.get_branch()
    preparation = prepare_compaction(branch, settings, session.build_projection())
    if preparation is None:
        raise CompactionError(explain_nothing_to_compact(branch))
    result = await compact(
        preparation, summarizer, custom_instructions=custom_instructions, signal=signal
    )
    check_unmoved(session, branch[-1].id)
    append_compaction_result(session, result)
    for edit in find_oversized_results(session.build_projection(), window, settings):
        session.append_context_edit(edit.target_id, edit.replacement)
    after = session.build_projection().messages
    return replace(result, estimated_tokens_after=sum_estimates(after))


def append_compaction_result(session: SessionManager, result: CompactionResult) -> str:
    """Put a summary in force; gives the id of its entry. Raises what appending does."""
    return session.append_compaction(
        result.summary,
        result.first_kept_entry_id,
        result.tokens_before,
        details=to_json_value(result.details),
        from_hook=False,
        usage=result.usage,
    )


def explain_nothing_to_compact(branch: Sequence[Entry]) -> str:
    """Why `prepare_compaction` gave None, in upstream's words."""
    if branch and branch[-1].type == "compaction":
        return "Already compacted"
    return "Nothing to compact (session too small)"


# --- preparing --------------------------------------------------------------------------------


def prepare_compaction(
    branch: Sequence[Entry],
    settings: CompactionSettings,
    projection: Projection | None = None,
) -> CompactionPreparation | None:
    """What to summarise of `branch` and what to keep; None if there is nothing to summarise.

    `projection` is that of `branch`, for callers that have it.
    """
    if not branch or branch[-1].type == "compaction":
        return None
    projection = projection or build_projection(branch)
    items = projection.entries
    previous, previous_summary = _find_previous(items)
    start = 0 if previous_summary is None else 1
    cut = find_projected_cut_point(items, start, settings.keep_recent_tokens)
    if cut is None or cut.first_kept_entry_index >= len(items):
        return None
    kept_from = cut.first_kept_entry_index
    history_end = cut.turn_start_index if cut.is_split_turn else kept_from
    history = _messages_of(items[start:history_end])
    prefix = _messages_of(items[history_end:kept_from])
    if not history and not prefix:
        return None
    operations = FileOperations()
    if previous is not None and not previous.from_hook:
        operations.add_details(previous.details)
        previous_summary = previous_summary and strip_file_lists(previous_summary)
    if previous_summary is not None and not previous_summary.strip():
        previous_summary = None
    collect_file_operations([*history, *prefix], operations)
    return CompactionPreparation(
        first_kept_entry_id=items[kept_from].entry.id,
        messages_to_summarize=history,
        turn_prefix_messages=prefix,
        is_split_turn=cut.is_split_turn,
        tokens_before=estimate_projected_context_tokens(projection, branch).tokens,
        previous_summary=previous_summary,
        file_ops=operations,
        settings=settings,
    )


def _find_previous(
    items: Sequence[ProjectedEntry],
) -> tuple[CompactionEntry | None, str | None]:
    """The compaction that the context starts with, and its summary if the model sees it."""
    if not items or not isinstance(view := items[0].entry.view, CompactionEntry):
        return None, None
    for message in items[0].messages:
        if isinstance(message, CompactionSummaryMessage):
            return view, message.summary
    return view, None


def _messages_of(items: Sequence[ProjectedEntry]) -> list[SessionMessage]:
    return [
        message
        for item in items
        if item.entry.type != "compaction"
        for message in item.messages
        if not isinstance(message, SystemMessage)
    ]


# --- summarising ------------------------------------------------------------------------------


async def compact(
    preparation: CompactionPreparation,
    summarizer: Summarizer,
    *,
    custom_instructions: str | None = None,
    signal: AbortSignal | None = None,
) -> CompactionResult:
    """Write the summary: one request, or two if a turn is split.

    Messages without any text are not asked about. Raises as `request_summary` does.
    """
    previous = preparation.previous_summary
    usages: list[Usage] = []

    async def ask(
        label: str,
        messages: Sequence[SessionMessage],
        write: Callable[[str, str | None], str],
        previous_summary: str | None = None,
    ) -> str | None:
        parts = conversation_parts(convert_to_llm(messages))
        if not any(part.strip() for part in parts):
            return None
        request = SummaryRequest(
            label=label,
            conversation=parts,
            previous_summary=previous_summary,
            write=write,
            reserve_tokens=preparation.settings.reserve_tokens,
        )
        summary = await request_summary(request, summarizer, signal)
        usages.append(summary.usage)
        return summary.text

    history = await ask(
        "Summarization",
        preparation.messages_to_summarize,
        lambda text, before: history_request(text, before, custom_instructions),
        previous,
    )
    prefix = await ask(
        "Turn prefix summarization",
        preparation.turn_prefix_messages,
        lambda text, _: turn_prefix_request(text, custom_instructions),
    )
    summary = history or previous or _NO_HISTORY
    if prefix is not None:
        summary += _TURN_HEADING + prefix
    details = list_files(preparation.file_ops)
    return CompactionResult(
        summary=summary + format_file_lists(details),
        first_kept_entry_id=preparation.first_kept_entry_id,
        tokens_before=preparation.tokens_before,
        usage=_total(usages),
        details=details,
    )


def _total(usages: Sequence[Usage]) -> Usage | None:
    """The usage of all requests; that of a single one unchanged."""
    if len(usages) <= 1:
        return usages[0] if usages else None
    return sum_usage(usages)
