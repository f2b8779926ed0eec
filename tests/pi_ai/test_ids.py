"""Identifiers and the short hash."""

from __future__ import annotations

import threading
import time
import uuid

import pytest

from pi_ai import ids
from pi_ai.ids import short_hash, uuid7


def test_ai_core_check_62_ids_sort_in_creation_order() -> None:
    made = [uuid7() for _ in range(5000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_ai_core_check_62_the_timestamp_comes_first() -> None:
    assert uuid7(1_700_000_000_000).startswith("018bcfe5-6800-7")
    assert uuid7(0).startswith("00000000-0000-7")
    assert uuid7(281_474_976_710_655).startswith("ffffffff-ffff-7")


@pytest.mark.parametrize("timestamp", [-1, 281_474_976_710_656])
def test_ai_core_check_62_timestamps_have_48_bits(timestamp: int) -> None:
    with pytest.raises(
        ValueError, match="UUIDv7 timestamp must be an integer between 0 and 281474976710655"
    ):
        uuid7(timestamp)


def test_ids_are_rfc_9562_of_the_present() -> None:
    before = time.time_ns() // 1_000_000
    text = uuid7()
    parsed = uuid.UUID(text)
    assert str(parsed) == text
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert before <= parsed.int >> 80 <= time.time_ns() // 1_000_000


def test_the_sequence_counts_up_and_the_rest_is_chance() -> None:
    first, second = (uuid.UUID(uuid7(5)).int for _ in range(2))

    def tail(value: int) -> int:
        return (value >> 64 & 0xFFF) << 62 | value & (1 << 62) - 1

    assert tail(second) >> 33 == (tail(first) >> 33) + 1
    chance = {tail(uuid.UUID(uuid7(5)).int) & (1 << 33) - 1 for _ in range(50)}
    assert len(chance) > 45


def test_a_clock_that_runs_back_does_not_disturb_the_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = uuid7()
    monkeypatch.setattr(ids.time, "time_ns", lambda: 0)
    assert uuid7() > first


def test_threads_never_share_an_id() -> None:
    made: list[str] = []
    threads = [
        threading.Thread(target=lambda: made.extend([uuid7() for _ in range(500)]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 2000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "k4n83c7h0j2b"),
        ("a", "m8735310ae7sx"),
        ("abc", "y0biex7f9bbh"),
        ("hello", "1h6qa0qrowduu"),
        ("call_abc|fc_123", "jp01dsxufnom"),
        ("é🙈", "5q56rm1x795kj"),
        ("héllo😀", "1olj6nu1frhbfw"),
    ],
    ids=ascii,
)
def test_ai_core_check_63_short_hash(text: str, expected: str) -> None:
    assert short_hash(text) == expected


def test_short_hash_takes_lone_surrogates() -> None:
    assert short_hash("\ud83d") != short_hash("\ude00")
