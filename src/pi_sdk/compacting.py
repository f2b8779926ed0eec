"""Running compactions of a session, one at a time, each with its events.

When to compact without being asked is decided in `auto_compaction`. Source: sdk spec, section 12.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

from msgspec.structs import replace

from pi_ai import AbortController, AbortError, AbortSignal, Model
from pi_sdk.errors import CompactionCancelledError
from pi_sdk.events import CompactionEndEvent, CompactionReason, CompactionStartEvent
from pi_sdk.session_core import SessionCore
from pi_sdk.summaries import session_summarizer
from pi_session import (
    CompactionError,
    CompactionPreparation,
    CompactionResult,
    compact,
    explain_nothing_to_compact,
    find_oversized_results,
    prepare_compaction,
)
from pi_session.compaction import append_compaction_result
from pi_session.estimation import sum_estimates
from pi_session.summarizing import check_unmoved

__all__ = ("Claim", "Compacting")


class Claim:
    """A compaction by hand, from the moment somebody asks for it until it is over."""

    def __init__(self, compacting: Compacting, earlier: Claim | None) -> None:
        self.over = asyncio.Event()
        self.stopped = False
        self._compacting = compacting
        self._earlier = earlier

    def __enter__(self) -> Claim:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._compacting.release(self)

    @property
    def is_lost(self) -> bool:
        """Whether somebody has asked for another one since, or stopped this one."""
        return self.stopped or not self._compacting.holds(self)

    async def wait_for_earlier(self) -> None:
        """Wait until the one before, which was told to stop, is over."""
        earlier, self._earlier = self._earlier, None
        if earlier is not None:
            await earlier.over.wait()


class Compacting:
    """The compaction of a session that runs, if one does; `leaf_id` is where the last one ended."""

    __slots__ = ("_claim", "_controller", "_core", "leaf_id")

    def __init__(self, core: SessionCore) -> None:
        self._core = core
        self._controller: AbortController | None = None
        self._claim: Claim | None = None
        self.leaf_id: str | None = None

    @property
    def is_running(self) -> bool:
        """Whether a summary is being written."""
        return self._controller is not None

    @property
    def is_manual(self) -> bool:
        """Whether somebody asked for the one that runs, or that is about to."""
        return self._claim is not None

    def abort(self) -> None:
        """Stop the one that runs, and the one that is about to."""
        if self._controller is not None:
            self._controller.abort()
        if self._claim is not None:
            self._claim.stopped = True

    async def wait(self) -> None:
        """Wait until no compaction that somebody asked for runs."""
        while self._claim is not None:
            await self._claim.over.wait()

    # --- by hand ------------------------------------------------------------------------------

    def claim(self) -> Claim:
        """Say that a compaction by hand is about to run; whoever asks from now on finds it."""
        self._claim = Claim(self, self._claim)
        return self._claim

    def holds(self, claim: Claim) -> bool:
        """Whether nobody has asked after this claim."""
        return self._claim is claim

    def release(self, claim: Claim) -> None:
        """That one is over."""
        if self._claim is claim:
            self._claim = None
        claim.over.set()

    async def run_manual(self, claim: Claim, instructions: str | None) -> CompactionResult:
        """Compact because somebody asked. The session is idle when the end is told.

        Raises `CompactionError`, `SummaryError` and `CompactionCancelledError`, and what storing
        raises.
        """
        core, controller = self._core, AbortController()
        self._controller = controller
        ended = CompactionEndEvent(reason="manual")
        try:
            await core.listeners.tell(CompactionStartEvent("manual"))
            model = await core.require_model()
            preparation = self._prepare(model)
            result = await self._summarise(
                preparation, model, "manual", controller.signal, instructions=instructions
            )
            ended = replace(ended, result=result)
        except (AbortError, asyncio.CancelledError) as error:
            ended = replace(ended, aborted=True)
            if isinstance(error, AbortError):
                raise CompactionCancelledError from error
            raise
        except Exception as error:
            ended = replace(ended, error_message=f"Compaction failed: {error}")
            raise
        finally:
            self._controller = None
            self.release(claim)
            await core.listeners.tell(ended)
        return result

    def _prepare(self, model: Model) -> CompactionPreparation:
        session = self._core.session_manager
        branch = session.get_branch()
        settings = self._core.compaction_settings(model)
        found = prepare_compaction(branch, settings, session.build_projection())
        if found is None:
            raise CompactionError(explain_nothing_to_compact(branch))
        return found

    # --- by itself ----------------------------------------------------------------------------

    async def run_automatic(
        self,
        preparation: CompactionPreparation,
        model: Model,
        reason: CompactionReason,
        *,
        will_retry: bool = False,
        signal: AbortSignal | None = None,
    ) -> bool:
        """Compact without being asked; False if it failed or was stopped, which is told.

        `will_retry`: the model is asked again after it. `signal` stops it as `abort` does.
        """
        controller = self._controller = AbortController()
        unlink = signal.add_listener(controller.abort) if signal is not None else None
        ended = CompactionEndEvent(reason=reason)
        try:
            await self._core.listeners.tell(CompactionStartEvent(reason))
            result = await self._summarise(preparation, model, reason, controller.signal)
            ended = replace(ended, result=result, will_retry=will_retry)
        except AbortError:
            ended = replace(ended, aborted=True)
        except asyncio.CancelledError:
            ended = replace(ended, aborted=True)
            raise
        except Exception as error:  # noqa: BLE001  # told; the conversation goes on without it
            label = "Context overflow recovery" if reason == "overflow" else "Auto-compaction"
            ended = replace(ended, error_message=f"{label} failed: {error}")
        finally:
            self._controller = None
            if unlink is not None:
                unlink()
            await self._core.listeners.tell(ended)
        return ended.result is not None

    # --- both ---------------------------------------------------------------------------------

    async def _summarise(
        self,
        preparation: CompactionPreparation,
        model: Model,
        reason: CompactionReason,
        signal: AbortSignal,
        *,
        instructions: str | None = None,
    ) -> CompactionResult:
        """Write the summary, put it in force, and shorten results that are too long beside it."""
        core = self._core
        session, leaf_id = core.session_manager, core.session_manager.leaf_id
        summarizer = session_summarizer(core, model, "compaction", reason=reason)
        result = await compact(
            preparation, summarizer, custom_instructions=instructions, signal=signal
        )
        signal.throw_if_aborted()
        check_unmoved(session, leaf_id)
        append_compaction_result(session, result)
        await self.shorten_results(model)
        self.leaf_id = session.leaf_id
        after = sum_estimates(session.build_session_context().messages)
        return replace(result, estimated_tokens_after=after)

    async def shorten_results(self, model: Model) -> bool:
        """Leave out the middle of tool results that fill the window; True if there were any."""
        core = self._core
        edits = find_oversized_results(
            core.session_manager.build_projection(),
            model.context_window,
            core.compaction_settings(model),
        )
        for edit in edits:
            await core.edit_context(edit.target_id, edit.replacement)
        return bool(edits)
