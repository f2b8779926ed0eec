"""What counts of a settings file, and what is said of the rest."""

from __future__ import annotations

import json
from typing import Any

import hypothesis
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_ai import Model
from pi_sdk.settings_check import check_settings, find_unknown_key, merge_settings
from pi_sdk.settings_types import Settings
from pi_session import CompactionSettings


def read(raw: dict[str, Any]) -> tuple[Settings, list[str]]:
    values, problems = check_settings(raw)
    return msgspec.convert(values, Settings), problems


def test_the_defaults_are_the_specs():
    settings, problems = read({})
    assert problems == []
    assert msgspec.to_builtins(settings) == {
        "defaultProvider": None,
        "defaultModel": None,
        "defaultThinkingLevel": None,
        "modelThinkingLevels": {},
        "thinkingBudgets": {"minimal": None, "low": None, "medium": None, "high": None},
        "enabledModels": [],
        "transport": "auto",
        "steeringMode": "one-at-a-time",
        "followUpMode": "one-at-a-time",
        "compaction": {
            "enabled": True,
            "reserveTokens": 16384,
            "keepRecentTokens": 20000,
            "modelOverrides": {},
        },
        "branchSummary": {"reserveTokens": 16384},
        "retry": {
            "enabled": True,
            "maxRetries": 3,
            "baseDelayMs": 2000,
            "maxAgentDelayMs": 60000,
            "provider": {"timeoutMs": None, "maxRetries": None, "maxRetryDelayMs": 60000},
        },
        "httpIdleTimeoutMs": 300000,
        "websocketConnectTimeoutMs": None,
        "httpProxy": None,
        "shellPath": None,
        "shellCommandPrefix": None,
        "defaultTools": None,
        "images": {"autoResize": True, "blockImages": False},
        "sessionDir": None,
        "defaultProjectTrust": "ask",
        "enableInstallTelemetry": False,
        "cacheWarming": "off",
    }


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ({"steeringMode": 5}, "steeringMode: expected one of all, one-at-a-time, found 5"),
        ({"defaultModel": ["m"]}, 'defaultModel: expected a string, found ["m"]'),
        ({"retry": "x"}, 'retry: expected an object, found "x"'),
        ({"compaction": []}, "compaction: expected an object, found []"),
        ({"images": 3}, "images: expected an object, found 3"),
        (
            {"images": {"blockImages": "yes"}},
            'images.blockImages: expected true or false, found "yes"',
        ),
        (
            {"compaction": {"reserveTokens": -1}},
            "compaction.reserveTokens: expected a whole number of at least 0, found -1",
        ),
        (
            {"compaction": {"keepRecentTokens": 2**53}},
            "compaction.keepRecentTokens: expected a whole number of at least 0, "
            "found 9007199254740992",
        ),
        (
            {"retry": {"baseDelayMs": True}},
            "retry.baseDelayMs: expected a number of at least 0, found true",
        ),
        (
            {"defaultThinkingLevel": "bogus"},
            "defaultThinkingLevel: expected one of off, minimal, low, medium, high, xhigh, max, "
            'found "bogus"',
        ),
        (
            {"modelThinkingLevels": {"a/b": 1}},
            "modelThinkingLevels.a/b: expected one of off, minimal, low, medium, high, xhigh, max, "
            "found 1",
        ),
        ({"enabledModels": "m"}, 'enabledModels: expected a list of strings, found "m"'),
        ({"defaultTools": ["read", 1]}, "defaultTools: expected a list of strings, found "),
        ({"httpIdleTimeoutMs": "abc"}, 'httpIdleTimeoutMs: expected milliseconds or "disabled", '),
        ({"websocketConnectTimeoutMs": -1}, "websocketConnectTimeoutMs: expected milliseconds or "),
        ({"transport": "x" * 99}, "transport: expected one of auto, sse, websocket, websocket-c"),
    ],
    ids=lambda value: json.dumps(value)[:50] if isinstance(value, dict) else "",
)
def test_a_bad_value_is_named_and_the_default_counts(raw, problem):
    settings, problems = read(raw)
    (told,) = problems
    assert told.startswith(problem)
    assert len(told) < 250
    assert settings == Settings()


def test_what_is_good_beside_a_bad_value_counts():
    settings, problems = read(
        {
            "modelThinkingLevels": {"a/b": "high", "c/d": "huge"},
            "retry": {"maxRetries": 1, "baseDelayMs": "soon"},
            "compaction": {"modelOverrides": {"a/b.1": {"reserveTokens": "x"}}},
        }
    )
    assert settings.model_thinking_levels == {"a/b": "high"}
    assert (settings.retry.max_retries, settings.retry.base_delay_ms) == (1, 2000)
    assert [problem.partition(": expected")[0] for problem in problems] == [
        "modelThinkingLevels.c/d",
        "compaction.modelOverrides.a/b.1.reserveTokens",
        "retry.baseDelayMs",
    ]
    assert problems[1].endswith('expected a whole number of at least 0, found "x"')


@pytest.mark.parametrize(
    ("value", "milliseconds"),
    [(0, 0), ("disabled", 0), (500, 500), ("500", 500), (" 1.5e3 ", 1500), (None, 300_000)],
)
def test_timeouts(value, milliseconds):
    settings, problems = read({"httpIdleTimeoutMs": value})
    assert settings.http_idle_timeout_ms == milliseconds
    assert problems == []


@pytest.mark.parametrize("value", ["", "nan", "inf", -1, True, [], "1 s"])
def test_no_timeouts(value):
    settings, problems = read({"httpIdleTimeoutMs": value})
    assert settings.http_idle_timeout_ms == 300_000
    assert len(problems) == 1


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"queueMode": "all"}, Settings(steering_mode="all")),
        ({"queueMode": "all", "steeringMode": "one-at-a-time"}, Settings()),
        ({"websockets": True}, Settings(transport="websocket")),
        ({"websockets": False}, Settings(transport="sse")),
        ({"websockets": False, "transport": "auto"}, Settings()),
    ],
    ids=str,
)
def test_keys_of_older_versions(raw, expected):
    before = json.dumps(raw)
    assert read(raw) == (expected, [])
    assert json.dumps(raw) == before


@pytest.mark.parametrize(
    ("retry", "milliseconds"),
    [
        ({"maxDelayMs": 5}, 5),
        ({"maxDelayMs": 5, "provider": {"maxRetryDelayMs": 7}}, 7),
        ({"maxDelayMs": 5, "provider": {"timeoutMs": 1}}, 5),
    ],
    ids=str,
)
def test_the_older_limit_of_retries(retry, milliseconds):
    settings, problems = read({"retry": retry})
    assert settings.retry.provider.max_retry_delay_ms == milliseconds
    assert problems == []


def test_a_project_cannot_say_what_is_the_users_alone():
    raw = {"httpProxy": "http://evil", "defaultProjectTrust": "always", "cacheWarming": "idle"}
    values, problems = check_settings({**raw, "transport": "sse"}, project=True)
    assert values == {"transport": "sse"}
    assert [problem.partition(":")[0] for problem in problems] == sorted(raw)


# --- layers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "over", "merged"),
    [
        ({"a": 1, "b": {"c": 1, "d": 2}}, {"b": {"d": 3}}, {"a": 1, "b": {"c": 1, "d": 3}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"b": 1}}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ],
    ids=["objects", "lists", "a scalar over an object", "an object over a scalar"],
)
def test_merging(base, over, merged):
    before = json.dumps([base, over])
    assert merge_settings(base, over) == merged
    assert json.dumps([base, over]) == before


@pytest.mark.parametrize(
    ("below", "above", "merged"),
    [
        (["read"], ["+grep", "-bash"], ["read", "+grep", "-bash"]),
        (["read"], ["+grep", "edit"], ["+grep", "edit"]),
        (["read"], [], []),
        (None, ["-bash"], ["-bash"]),
    ],
    ids=str,
)
def test_a_projects_changes_go_behind_the_users_tools(below, above, merged):
    base = {} if below is None else {"defaultTools": below}
    assert merge_settings(base, {"defaultTools": above})["defaultTools"] == merged


def test_tokens_of_one_model():
    settings, _ = read(
        {
            "compaction": {
                "enabled": False,
                "reserveTokens": 100,
                "modelOverrides": {"p/m.1": {"reserveTokens": 0}, "p/n": {"keepRecentTokens": 5}},
            }
        }
    )
    expected = {"m.1": (0, 20_000), "n": (100, 5), "o": (100, 20_000)}
    for name, (reserve, keep) in expected.items():
        model = Model(id=name, api="x", provider="p")
        assert settings.compaction.for_model(model) == CompactionSettings(
            enabled=False, reserve_tokens=reserve, keep_recent_tokens=keep
        )


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        (("compaction", "enabled"), None),
        (("compaction",), None),
        (("modelThinkingLevels", "a/b.1"), None),
        (("compaction", "modelOverrides", "a/b.1", "reserveTokens"), None),
        (("steering_mode",), "steering_mode: no such setting. Did you mean steeringMode?"),
        (("theme",), "theme: no such setting"),
        (("compaction", "enable"), "compaction.enable: no such setting. Did you mean enabled?"),
        (("transport", "x"), "transport.x: no such setting, as transport has no parts"),
        ((), "a setting needs a name"),
    ],
    ids=str,
)
def test_paths_of_settings(path, fault):
    assert find_unknown_key(path) == fault


WORDS = st.sampled_from(["", "all", "provider", "enabled", "maxRetries", "a/b.1", "high", "1"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
KEYS = [field.encode_name for field in msgspec.structs.fields(Settings)]


@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.too_slow])
@given(
    st.dictionaries(st.sampled_from([*KEYS, "queueMode", "websockets", "theme"]), JSON, max_size=4)
)
def test_whatever_a_file_says_there_are_settings_and_a_line_for_each_problem(raw):
    settings, problems = read(raw)
    assert isinstance(settings, Settings)
    assert all("\n" not in problem for problem in problems)
    again = check_settings(check_settings(raw).values)
    assert again.problems == []
