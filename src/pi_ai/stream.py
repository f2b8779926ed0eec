"""`AssistantStream`: one response, pulled event by event.

The only place where a failure becomes an event: adapters raise, this yields one `error` event.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from types import TracebackType

from pi_ai.abort import AbortSignal, abort_scope
from pi_ai.builder import MessageBuilder
from pi_ai.errors import AbortError, ProviderProtocolError, StreamEndedError
from pi_ai.events import AssistantEvent, DoneEvent, ErrorEvent, ErrorReason
from pi_ai.types import AssistantMessage

__all__ = ("AssistantStream", "EventBatches")

EventBatches = AsyncGenerator[Sequence[AssistantEvent], None]
"""What an adapter is: the events of one network read at a time; it raises on failure."""

_ABORTED = str(AbortError())


class AssistantStream:
    """The events of one response, then its message.

    Nothing happens until it is iterated or `result()` is awaited; there is no task and no queue
    behind it. It has one consumer: every event is handed out once. Leaving the `async with`
    block, or cancelling the task that pulls, closes the connection.

    Provider failures raise nothing: they are the last event, `error`, whose message keeps what
    had arrived. `duration_ms` counts from the first read. Source: ai-core spec, section 6.
    """

    def __init__(
        self, message: MessageBuilder, batches: EventBatches, signal: AbortSignal | None = None
    ) -> None:
        self._builder = message
        self._batches = batches
        self._signal = signal
        self._started: float | None = None
        self._pulling = False
        self._ready: Iterator[AssistantEvent] = iter(())
        self._final: AssistantMessage | None = None
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        if self._final is not None:
            state = self._final.stop_reason
        return f"<AssistantStream {self._builder.model.id}: {state}>"

    async def __aenter__(self) -> AssistantStream:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> AssistantStream:
        return self

    async def __anext__(self) -> AssistantEvent:
        while True:
            for event in self._ready:  # an iterator: gives its next event and keeps the rest
                return event
            if self._closed:
                raise StopAsyncIteration
            await self._pull()

    @property
    def message(self) -> AssistantMessage:
        """The message as far as it has been received, or the final one."""
        return self._final or self._builder.message()

    async def result(self) -> AssistantMessage:
        """Drive the stream to its end and return the final message.

        Never raises for a provider's failure: look at `stop_reason`. Raises `StreamEndedError`
        if the stream was closed before its end.
        """
        while not self._closed:
            self._ready = iter(())
            await self._pull()
        if self._final is None:
            raise StreamEndedError("The stream was closed before its terminal event")
        return self._final

    async def aclose(self) -> None:
        """Stop the request, if it still runs. Safe to call more than once.

        Raises RuntimeError while another task reads the stream: cancel that task instead.
        """
        if not self._closed:
            self._require_single_consumer()
            await self._close()

    async def _close(self) -> None:
        self._closed = True
        self._ready = iter(())
        await self._batches.aclose()

    def _require_single_consumer(self) -> None:
        if self._pulling:
            raise RuntimeError(
                "Another task is reading this stream, which has one consumer; "
                "cancel that task or set the abort signal to stop it"
            )

    async def _pull(self) -> None:
        """Get the next batch of events, or end the stream."""
        self._require_single_consumer()
        if self._started is None:
            self._started = time.monotonic()
        self._pulling = True
        try:
            with abort_scope(self._signal):
                self._ready = iter(await anext(self._batches))
        except StopAsyncIteration:
            self._finish()
        except asyncio.CancelledError:
            await self._close()
            raise
        except Exception as error:  # noqa: BLE001  # whatever an adapter raises ends as an event
            await self._batches.aclose()
            self._fail(error)
        finally:
            self._pulling = False

    def _finish(self) -> None:
        reason = self._builder.stop_reason
        match reason:
            case "stop" | "length" | "toolUse" | "deferred":
                self._end(DoneEvent(reason, self._stamped()))
            case _:
                self._fail(
                    ProviderProtocolError("Stream ended without a stop reason", retryable=True)
                )

    def _fail(self, error: Exception) -> None:
        aborted = self._signal is not None and self._signal.aborted
        reason: ErrorReason = "aborted" if aborted or isinstance(error, AbortError) else "error"
        closing: list[AssistantEvent] = []
        if reason == "aborted" and self._builder.ends_blocks_on_abort:
            closing = self._builder.end_open_blocks()
        self._builder.stop(reason)
        message = self._stamped()
        told = reason == "error" or isinstance(error, AbortError)
        message.error_message = _text_of(error) if told else _ABORTED
        self._end(*closing, ErrorEvent(reason, message))

    def _stamped(self) -> AssistantMessage:
        message = self._builder.message()
        if self._started is not None:
            message.duration_ms = round((time.monotonic() - self._started) * 1000)
        return message

    def _end(self, *events: AssistantEvent) -> None:
        last = events[-1]
        assert isinstance(last, DoneEvent | ErrorEvent)
        self._final = last.message if isinstance(last, DoneEvent) else last.error
        self._ready = iter(events)
        self._closed = True


def _text_of(error: Exception) -> str:
    return str(error) or type(error).__name__
