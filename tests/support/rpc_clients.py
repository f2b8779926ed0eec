"""Clients of the stand-in server, and what is left of its process."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pi_sdk import RpcClient
from support import rpc_stand_in

STAND_IN = [sys.executable, "-S", rpc_stand_in.__file__]


def stand_in(*args: str, **options: Any) -> RpcClient:
    return RpcClient(STAND_IN, args=args, **options)


def run(main: Callable[[RpcClient], Awaitable[Any]], *args: str, **options: Any) -> Any:
    """What `main` gives, called with a started client."""

    async def all_of_it() -> Any:
        async with asyncio.timeout(15), stand_in(*args, **options) as client:
            return await main(client)

    return asyncio.run(all_of_it())


def pid_of(client: RpcClient) -> int:
    assert client._connection is not None
    child = client._connection._child
    assert child is not None
    assert child._transport is not None
    return child._transport.get_pid()


def assert_gone(pid: int) -> None:
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
