"""Answers the dialogs that extensions of an upstream server open; without an answer it waits.

Source: rpc spec, section 10.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from pi_ai import JsonObject
from pi_sdk.errors import RpcProcessError
from pi_sdk.rpc_events import ExtensionUiRequestEvent

__all__ = ("DialogHandler", "Dialogs", "UiAnswer")

_log = logging.getLogger(__name__)

UiAnswer: TypeAlias = str | bool | None
"""A text for `select`, `input` and `editor`, a bool for `confirm`, None to cancel."""

DialogHandler: TypeAlias = Callable[[ExtensionUiRequestEvent], UiAnswer | Awaitable[UiAnswer]]
"""Answers a dialog. If it raises, the error is logged and the dialog cancelled."""

_DIALOGS = frozenset({"select", "confirm", "input", "editor"})


class Dialogs:
    """Asks a handler, and sends what it says; cancels every dialog if there is no handler."""

    def __init__(self, handler: DialogHandler | None, send: Callable[[JsonObject], None]) -> None:
        self._handler = handler
        self._send = send
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, request: ExtensionUiRequestEvent) -> None:
        """See to a request; those that want no answer are passed over."""
        if request.method not in _DIALOGS:
            return
        if self._handler is None:
            self._answer(request, None)
            return
        task = asyncio.ensure_future(self._ask(self._handler, request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Stop the handlers that still run."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, handler: DialogHandler, request: ExtensionUiRequestEvent) -> None:
        answer: UiAnswer = None
        try:
            told = handler(request)
            answer = await told if inspect.isawaitable(told) else told
        except Exception:  # noqa: BLE001  # the server waits for an answer
            _log.exception("The dialog handler failed on %s", request.method)
        self._answer(request, answer)

    def _answer(self, request: ExtensionUiRequestEvent, answer: UiAnswer) -> None:
        record: JsonObject = {"type": "extension_ui_response", "id": request.id}
        match answer:
            case None:
                record["cancelled"] = True
            case bool():
                record["confirmed"] = answer
            case str():
                record["value"] = answer
        try:
            self._send(record)
        except RpcProcessError as error:
            _log.debug("A dialog was answered too late: %s", error)
