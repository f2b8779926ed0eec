"""What can be done with a session beside prompting: stop, compact, move in its tree, run commands.

Source: sdk spec, sections 9, 12.1 and 14.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from msgspec import UNSET, Struct, UnsetType

from pi_agent import AgentTool
from pi_ai import JsonValue, StreamOptions
from pi_sdk.arguments import check_type
from pi_sdk.compacting import Compacting
from pi_sdk.courses import Courses
from pi_sdk.errors import (
    CompactionCancelledError,
    PromptRejectedError,
    SdkError,
    SessionBusyError,
)
from pi_sdk.recovery import AutoRetry
from pi_sdk.session_controls import SessionControls
from pi_sdk.session_core import MakeSections, SessionCore
from pi_sdk.tree_moves import TreeMove, TreeMoves
from pi_sdk.user_commands import UserCommands
from pi_session import CompactionResult
from pi_tools.user_bash import UserBashResult

__all__ = ("Reloaded", "SessionOperations")


class Reloaded(Struct, frozen=True, kw_only=True):
    """What becomes of the files that were read again: requests, the system prompt, and tools.

    `added_tools` are those that the settings make active now and did not before.
    """

    stream_options: StreamOptions
    sections: MakeSections
    registered_tools: Sequence[AgentTool]
    added_tools: Sequence[AgentTool]


class SessionOperations(SessionControls):
    """The part of `AgentSession` that works beside the conversation.

    Whoever makes it starts no run but through `courses`.
    """

    def __init__(
        self,
        core: SessionCore,
        *,
        courses: Courses,
        retry: AutoRetry,
        compacting: Compacting,
        commands: UserCommands,
        reload: Callable[[], Awaitable[Reloaded]] | None,
    ) -> None:
        super().__init__(core)
        self._listeners = core.listeners
        self._courses = courses
        self._retry = retry
        self._compacting = compacting
        self._commands = commands
        self._moves = TreeMoves(core)
        self._reload = reload
        self._closed = False
        self._use_modes()

    # --- what it is doing ---------------------------------------------------------------------

    @property
    def is_streaming(self) -> bool:
        """True from the acceptance of a prompt until just before `agent_settled`."""
        return self._courses.current is not None

    @property
    def is_compacting(self) -> bool:
        """Whether a summary is being written: of the context, or of a branch."""
        return self._compacting.is_running or self._compacting.is_manual or self._moves.is_running

    @property
    def is_idle(self) -> bool:
        """Nothing runs but, perhaps, a command of the user."""
        return not self.is_streaming and not self.is_compacting

    @property
    def is_retrying(self) -> bool:
        """Whether a failed answer is being asked for again, or will be after a while."""
        return self._retry.attempt > 0

    @property
    def retry_attempt(self) -> int:
        """The number of the attempt; 0 if there is none."""
        return self._retry.attempt

    @property
    def is_bash_running(self) -> bool:
        """Whether a command of the user runs."""
        return self._commands.is_running

    @property
    def has_pending_bash_messages(self) -> bool:
        """Whether a command has ended that is stored when the run is over."""
        return self._commands.has_waiting

    # --- stopping -----------------------------------------------------------------------------

    async def abort(self) -> None:
        """Stop the run, its retries and any summary, and wait until it has settled.

        What is queued stays queued, and commands of the user go on. In a listener it does not
        wait, as the run waits for the listener.
        """
        self._stop_run()
        self._compacting.abort()
        self._moves.abort()
        if not self._listeners.inside:
            await self._courses.wait_for_latest()
            await self._compacting.wait()
            await self._moves.wait()

    def _stop_run(self) -> None:
        if self._courses.current is not None:
            self._courses.current.aborted = True
            self.agent.abort()
        self._retry.abort()

    def abort_retry(self) -> bool:
        """Do not wait for the next attempt: the failed answer is the last one.

        False if no attempt was waited for; else `auto_retry_end` and `agent_settled` follow.
        """
        return self._retry.abort()

    async def wait_for_idle(self) -> None:
        """Wait until nothing runs. Raises RuntimeError in a listener, which it would wait for."""
        self._refuse_inside("wait_for_idle")
        await self._courses.wait_for_all()
        await self._compacting.wait()
        await self._moves.wait()

    # --- the context --------------------------------------------------------------------------

    async def compact(self, instructions: str | None = None) -> CompactionResult:
        """Summarise the older part of the context. Aborts a run first; it is not resumed.

        `instructions` say what the summary should keep. A second call stops the first. Raises
        `CompactionError` if there is nothing to compact, `SummaryError` if no summary came,
        `CompactionCancelledError`, `NoModelError`, and RuntimeError in a listener during a run.
        """
        check_type("instructions", instructions, str)
        self._require_open()
        if not self._courses.is_settled:
            self._refuse_inside("compact")
        self._compacting.abort()
        with self._compacting.claim() as claim:
            await claim.wait_for_earlier()
            self._stop_run()
            await self._courses.wait_for_latest()
            if claim.is_lost:
                raise CompactionCancelledError
            return await self._compacting.run_manual(claim, instructions)

    def abort_compaction(self) -> None:
        """Stop the compaction that runs, if one does; the context stays as it is."""
        self._compacting.abort()

    async def navigate_tree(
        self,
        target_id: str,
        *,
        summarize: bool = False,
        custom_instructions: str | None = None,
        replace_instructions: bool = False,
        label: str | None = None,
    ) -> TreeMove:
        """Go on from another entry of the session's tree, as `pi_session.navigate_session` does.

        Raises `SessionBusyError` while something runs, `EntryNotFoundError`, `NoModelError` when
        there is nobody to summarise, and `SummaryError`; nothing is moved then.
        """
        self._require_open()
        where = "before navigating the session tree."
        self._require_idle("current compaction or tree navigation", where)
        return await self._moves.move(
            target_id,
            summarize=summarize,
            custom_instructions=custom_instructions,
            replace_instructions=replace_instructions,
            label=label,
        )

    async def reload(self) -> None:
        """Read settings and prompt files again. Raises `SessionBusyError` while something runs.

        Overrides of the settings and switches of this session are dropped. Tools work as the
        settings say now; those that `defaultTools` names anew become active, and none inactive.
        Raises `SdkError` if the session was made without a way to do so.
        """
        self._require_idle("current compaction", "before reloading.")
        if self._reload is None:
            raise SdkError("reload: this session was made from values, there is nothing to read")
        found = await self._reload()
        self.agent.stream_options, self._core.sections = found.stream_options, found.sections
        self._core.registered_tools = found.registered_tools
        state, made = self.agent.state, {tool.name: tool for tool in found.registered_tools}
        active = {tool.name: made.get(tool.name, tool) for tool in state.tools}
        state.tools = list((active | {tool.name: tool for tool in found.added_tools}).values())
        self._core.forget_switches()
        self._use_modes()

    # --- commands of the user -----------------------------------------------------------------

    async def execute_bash(
        self,
        command: str,
        on_chunk: Callable[[str], None] | None = None,
        *,
        exclude_from_context: bool = False,
        id: JsonValue | UnsetType = UNSET,
    ) -> UserBashResult:
        """Run a command in the session's directory, and let the model see it with the next prompt.

        `on_chunk` gets the output as it comes, and so do listeners, with `id`. Several may run at
        once. Raises what `on_chunk` and the shell's start raise, and what storing raises.
        """
        check_type("command", command, str, optional=False)
        self._require_open()
        result = await self._commands.run(command, on_chunk, id)
        self.record_bash_result(command, result, exclude_from_context=exclude_from_context)
        return result

    def record_bash_result(
        self, command: str, result: UserBashResult, *, exclude_from_context: bool = False
    ) -> None:
        """Note a command that ran elsewhere: at once, or when the run that is active is over."""
        self._commands.record(
            command,
            result,
            exclude_from_context=exclude_from_context,
            at_once=not self.is_streaming,
        )

    def abort_bash(self) -> None:
        """Stop every command of the user."""
        self._commands.abort()

    # --- what must hold -----------------------------------------------------------------------

    def _use_modes(self) -> None:
        settings = self.session_settings
        self.agent.steering_queue.mode = settings.steering_mode
        self.agent.follow_up_queue.mode = settings.follow_up_mode

    def _require_open(self) -> None:
        if self._closed:
            raise PromptRejectedError("The session is closed")

    def _require_idle(self, work: str, then: str) -> None:
        if self.is_streaming:
            raise SessionBusyError(f"Wait for the current response to finish {then}")
        if self.is_compacting:
            raise SessionBusyError(f"Wait for the {work} to finish {then}")

    def _refuse_inside(self, method: str) -> None:
        if self._listeners.inside:
            raise RuntimeError(f"{method}() in a listener would wait for the listener itself")
