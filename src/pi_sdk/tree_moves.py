"""Moving a session to another point of its tree, with a summary of what is left behind if wanted.

Source: sdk spec, section 14.2; session spec, section 15.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pi_ai import AbortController, AbortError, Wire
from pi_sdk.errors import NoModelError
from pi_sdk.session_core import SessionCore
from pi_sdk.summaries import session_summarizer
from pi_sdk.tool_loadout import choose_active, recorded_loadout
from pi_sdk.tool_selection import apply_changes
from pi_session import navigate_session
from pi_session.entries import EntryView

__all__ = ("TreeMove", "TreeMoves", "restore_tools")


class TreeMove(Wire, kw_only=True):
    """What a move gave: a text to edit, and the entry of the summary that was written.

    `cancelled`: nothing was moved, as somebody stopped the summary.
    """

    editor_text: str | None = None
    cancelled: bool = False
    aborted: bool | None = None
    summary_entry: EntryView | None = None


class TreeMoves:
    """Moves one session, one move at a time."""

    __slots__ = ("_controller", "_core", "_over")

    def __init__(self, core: SessionCore) -> None:
        self._core = core
        self._controller: AbortController | None = None
        self._over: asyncio.Event | None = None  # for whoever waits for the move

    @property
    def is_running(self) -> bool:
        """Whether a move is on its way."""
        return self._controller is not None

    def abort(self) -> None:
        """Stop the summary that is being written; nothing is moved then."""
        if self._controller is not None:
            self._controller.abort()

    async def wait(self) -> None:
        """Wait until no move is on its way."""
        while self._controller is not None:
            self._over = self._over or asyncio.Event()
            await self._over.wait()

    async def move(
        self,
        target_id: str,
        *,
        summarize: bool,
        custom_instructions: str | None,
        replace_instructions: bool,
        label: str | None,
    ) -> TreeMove:
        """Move to `target_id`; the agent then works on what is there.

        Raises `NoModelError` without a model to summarise with, `SummaryError` if that fails,
        and as `navigate_session` does.
        """
        core = self._core
        if target_id == core.session_manager.leaf_id:
            return TreeMove()
        if summarize and core.model is None:
            raise NoModelError("No model available for summarization")
        self._controller = AbortController()
        try:
            summarizer = (
                session_summarizer(core, await core.require_model(), "branchSummary")
                if summarize
                else None
            )
            found = await navigate_session(
                core.session_manager,
                target_id,
                summarizer,
                reserve_tokens=core.settings.branch_summary_reserve_tokens,
                custom_instructions=custom_instructions,
                replace_instructions=replace_instructions,
                label=label,
                signal=self._controller.signal,
            )
        except AbortError:
            return TreeMove(cancelled=True, aborted=True)
        finally:
            self._controller = None
            if self._over is not None:
                self._over.set()
                self._over = None
        restore_tools(core)
        core.sync_agent()
        entry = found.summary_entry
        return TreeMove(
            editor_text=found.editor_text, summary_entry=None if entry is None else entry.view
        )


def restore_tools(core: SessionCore, changes: Sequence[str] = ()) -> None:
    """Make the tools active that the branch ends with, if the session started with default ones.

    `changes` are `+name` and `-name`, made to those.
    """
    if not core.restores_tools:
        return
    names = recorded_loadout(core.session_manager.get_branch(), core.custom_tool_names)
    if names is not None:
        names = apply_changes(names, changes)
        core.agent.state.tools = choose_active(core.registered_tools, (), names)
