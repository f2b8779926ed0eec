"""When a session compacts its context without being asked, and how it recovers from a full window.

Nothing here looks at the whole transcript unless there may be something to do.
Source: sdk spec, section 12.2; session spec, section 14.6.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from pi_agent import AgentMessage
from pi_ai import AbortSignal, AssistantMessage, Model, UserMessage
from pi_ai.overflow import is_context_overflow, is_recoverable_length
from pi_sdk.compacting import Compacting
from pi_sdk.context_tracker import estimate_agent_messages
from pi_sdk.events import CompactionEndEvent
from pi_sdk.session_core import SessionCore
from pi_session import (
    CompactionPreparation,
    CompactionSettings,
    CompactionTrigger,
    ContextEditEntry,
    Entry,
    build_projection,
    estimate_projected_context_tokens,
    explain_failed_recovery,
    explain_nothing_to_compact,
    find_compaction_trigger,
    find_oversized_results,
    prepare_compaction,
    rearms_recovery,
    should_compact,
)
from pi_session.projection import Projection

__all__ = ("AutoCompaction",)

_FAILED = "Context overflow recovery failed"


class AutoCompaction:
    """Decides before prompts, between turns and after runs; does nothing if it is not enabled."""

    __slots__ = ("_compacting", "_core", "_failed", "_recovered", "_tight")

    def __init__(self, core: SessionCore, compacting: Compacting) -> None:
        self._core = core
        self._compacting = compacting
        self._recovered = False  # an overflow of this prompt; a second one is not tried
        self._failed = False  # a compaction of this prompt; nor is another one at every turn
        self._tight = False  # what compaction leaves does not free the reserve

    def notice(self, message: AgentMessage) -> None:
        """A message was stored, after which a recovery may be worth trying again."""
        if isinstance(message, UserMessage | AssistantMessage) and rearms_recovery(message):
            self._recovered = False

    # --- before a request ---------------------------------------------------------------------

    async def before_prompt(self, coming: Sequence[AgentMessage]) -> None:
        """Make room if the last answer calls for it, or if `coming` would not leave the reserve."""
        model, settings = self._enabled()
        if model is None or settings is None:
            return
        self._failed = self._tight = False
        entry = self._last_answer()
        trigger = None if entry is None else self._find_trigger(entry, model, settings)
        if trigger is not None and trigger.overflow is None:
            await self._make_room(model, settings)
        elif trigger is not None and not (trigger.retry and self._recovered):
            await self._recover(trigger, model, settings, will_retry=False)
        if self._failed or model.context_window <= 0:
            return
        tokens = self._core.context.tokens() + estimate_agent_messages(coming)
        if should_compact(tokens, model.context_window, settings):
            await self._make_room(model, settings)

    def is_due_between_turns(self) -> bool:
        """Whether the reserve is not free before the next response of a run."""
        model, settings = self._enabled()
        if model is None or settings is None or self._failed or self._tight:
            return False
        return should_compact(self._core.context.tokens(), model.context_window, settings)

    def is_due_before_request(self) -> bool:
        """Whether half of the reserve is gone too: messages came that nobody had counted."""
        model, settings = self._enabled()
        if model is None or settings is None or self._failed or model.context_window <= 0:
            return False
        return self._core.context.tokens() > _most_tokens(model, settings)

    async def within_run(self, signal: AbortSignal) -> None:
        """Make room for the next request of a run."""
        model, settings = self._enabled()
        if model is not None and settings is not None:
            await self._make_room(model, settings, signal)

    async def _make_room(
        self, model: Model, settings: CompactionSettings, signal: AbortSignal | None = None
    ) -> None:
        session = self._core.session_manager
        if session.leaf_id == self._compacting.leaf_id:
            return  # nothing came since the last compaction
        preparation = prepare_compaction(session.get_branch(), settings, session.build_projection())
        if preparation is None:
            await self._compacting.shorten_results(model)
            if self._core.context.tokens() > _most_tokens(model, settings):
                preparation = _prepare_keeping_less(
                    session.get_branch(), session.build_projection(), settings
                )
            if preparation is None:
                return
        if not await self._compacting.run_automatic(preparation, model, "threshold", signal=signal):
            self._failed = True
        else:
            tokens = self._core.context.tokens()
            self._tight = should_compact(tokens, model.context_window, settings)

    # --- after a run --------------------------------------------------------------------------

    async def after_run(self, entry_id: str) -> bool:
        """Compact if this answer calls for it; True if the model is to be asked again."""
        model, settings = self._enabled()
        entry = self._core.session_manager.get_entry(entry_id)
        if model is None or settings is None or entry is None:
            return False
        message = entry.message
        if not isinstance(message, AssistantMessage) or message.stop_reason == "aborted":
            return False
        trigger = self._find_trigger(entry, model, settings)
        if trigger is None:
            return False
        if trigger.overflow is None:
            await self._make_room(model, settings)
            return False
        if trigger.retry and self._recovered:
            await self._tell_failure(explain_failed_recovery(trigger.overflow))
            return False
        return await self._recover(trigger, model, settings, will_retry=trigger.retry)

    async def _recover(
        self,
        trigger: CompactionTrigger,
        model: Model,
        settings: CompactionSettings,
        *,
        will_retry: bool,
    ) -> bool:
        """Hide the answer that failed and compact; True if the model is to be asked again.

        What is prepared is prepared as if the answer were hidden already: if nothing can be
        compacted, it stays in sight.
        """
        session = self._core.session_manager
        branch = session.get_branch()
        hidden = [*branch, *map(_omission, trigger.omit)]
        projection = build_projection(hidden)
        preparation = prepare_compaction(hidden, settings, projection)
        shortens = bool(find_oversized_results(projection, model.context_window, settings))
        if preparation is None and not shortens:
            tokens = estimate_projected_context_tokens(projection, hidden).tokens
            if tokens > _most_tokens(model, settings):
                preparation = _prepare_keeping_less(hidden, projection, settings)
        if preparation is None and not shortens:
            if will_retry:
                await self._tell_failure(f"{_FAILED}: {explain_nothing_to_compact(branch)}")
            return False
        self._recovered = self._recovered or trigger.retry
        for entry_id in trigger.omit:
            await self._core.edit_context(entry_id, None)
        if preparation is None:
            return await self._compacting.shorten_results(model) and will_retry
        done = await self._compacting.run_automatic(
            preparation, model, "overflow", will_retry=will_retry
        )
        self._failed = self._failed or not done
        return done and will_retry

    async def _tell_failure(self, text: str) -> None:
        await self._core.listeners.tell(CompactionEndEvent(reason="overflow", error_message=text))

    # --- looking ------------------------------------------------------------------------------

    def _enabled(self) -> tuple[Model | None, CompactionSettings | None]:
        """The model and its settings; None if nothing is to be compacted."""
        model = self._core.model
        if model is None or not self._core.settings.compaction.enabled:
            return None, None
        return model, self._core.compaction_settings(model)

    def _last_answer(self) -> Entry | None:
        """The last answer on the branch, looked for from its end."""
        session = self._core.session_manager
        entry = session.get_leaf_entry()
        for _ in range(len(session)):  # parents in a damaged file may go round in circles
            if entry is None or isinstance(entry.message, AssistantMessage):
                return entry
            entry = session.get_entry(entry.parent_id) if entry.parent_id else None
        return None

    def _find_trigger(
        self, entry: Entry, model: Model, settings: CompactionSettings
    ) -> CompactionTrigger | None:
        """As `find_compaction_trigger`, which is asked only where it may find something."""
        message = entry.message
        if not isinstance(message, AssistantMessage):
            return None
        window = model.context_window
        if not (
            is_context_overflow(message, window)
            or is_recoverable_length(message, self._as_asked(model).max_tokens)
            or should_compact(self._core.context.tokens(), window, settings)
        ):
            return None
        session = self._core.session_manager
        return find_compaction_trigger(
            entry,
            session.get_branch(),
            session.build_projection(),
            model=self._as_asked(model),
            settings=settings,
        )

    def _as_asked(self, model: Model) -> Model:
        """The model with the longest answer that was asked for: one cut there was not cut short."""
        wanted = self._core.agent.stream_options.get("max_tokens") or model.max_tokens
        return replace(model, max_tokens=min(wanted, model.max_tokens))


def _most_tokens(model: Model, settings: CompactionSettings) -> int:
    """How long a request may get, whose length is an estimate."""
    return model.context_window - settings.reserve_tokens // 2


def _prepare_keeping_less(
    branch: Sequence[Entry], projection: Projection, settings: CompactionSettings
) -> CompactionPreparation | None:
    """What to summarise where all that is to be kept would not fit, None if there is nothing.

    What is kept begins with the message that `keep_recent_tokens` ends in: one that nearly fills
    the window, say, of which the rest is then too long.
    """
    keep_tokens, found = settings.keep_recent_tokens, None
    while found is None and keep_tokens > 0:
        keep_tokens //= 2
        less = replace(settings, keep_recent_tokens=keep_tokens)
        found = prepare_compaction(branch, less, projection)
    return found


def _omission(entry_id: str) -> Entry:
    """An edit that hides an entry, for looking at what would be if it were there."""
    return Entry.of(ContextEditEntry(id=f"omit-{entry_id}", target_id=entry_id, replacement=None))
