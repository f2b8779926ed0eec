"""What adapters learn about sessions."""

from __future__ import annotations

import pytest

from pi_ai.session_memory import SessionMemory


def test_facts_belong_to_a_session() -> None:
    memory = SessionMemory()
    memory.remember("s", "slow")
    memory.remember("s", "plain")
    assert memory.recalls("s", "slow")
    assert memory.recalls("s", "plain")
    assert not memory.recalls("s", "other")
    assert not memory.recalls("t", "slow")
    memory.forget("s")
    memory.forget("never seen")
    assert not memory.recalls("s", "slow")


@pytest.mark.parametrize("session_id", [None, ""])
def test_requests_without_a_session_share_nothing(session_id: str | None) -> None:
    memory = SessionMemory()
    memory.remember(session_id, "slow")
    assert not memory.recalls(session_id, "slow")
    assert repr(memory) == "<SessionMemory of 0 sessions>"


def test_at_most_10_000_sessions_are_kept_and_the_stalest_goes() -> None:
    memory = SessionMemory()
    for number in range(10_000):
        memory.remember(str(number), "slow")
    memory.remember("0", "plain")
    memory.remember("new", "slow")
    assert not memory.recalls("1", "slow")
    assert memory.recalls("0", "slow")
    assert memory.recalls("2", "slow")
    assert memory.recalls("new", "slow")
    assert repr(memory) == "<SessionMemory of 10000 sessions>"
