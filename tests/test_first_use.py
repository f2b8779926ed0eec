"""msgspec looks into a type when it is first used; two threads that make it do so at once crash.

When nothing kept the threads apart, the operating system killed these processes: some always, some
one time in three.
"""

from __future__ import annotations

import pytest

from support.first_use import first_uses_at_once

SETTINGS = """
from pi_sdk import SettingsManager

def use():
    retry = {"provider": {"maxRetries": 1}}
    overrides = {"a/b": {"reserveTokens": 3}}
    given = {"retry": retry, "compaction": {"modelOverrides": overrides}}
    assert SettingsManager.in_memory(given).current.retry.provider.max_retries == 1
"""
USER_MODELS = """
import pathlib, tempfile
from pi_sdk.models_json import read_models_json

path = pathlib.Path(tempfile.mkdtemp(), "models.json")
path.write_text('{"providers": {"p": {"models": [{"id": "m", "cost": {"input": 1}}]}}}')

def use():
    assert read_models_json(path)["p"].models[0].cost.input == 1
"""
CATALOGUE = """
import itertools
from pi_ai.catalog.loader import load_models

providers = itertools.cycle(["anthropic", "openai", "groq", "xai"])

def use():
    assert load_models(next(providers))
"""
EDIT = """
from pi_tools.arguments import read_arguments
from pi_tools.edit import _Arguments

def use():
    edits = [{"oldText": "a", "newText": "b"}]
    assert read_arguments({"path": "x", "edits": edits}, _Arguments).edits[0].old_text == "a"
"""
STATISTICS = """
from pi_ai import AssistantMessage, Usage
from pi_session import SessionManager

session = SessionManager.in_memory(".")
session.append_message(AssistantMessage(usage=Usage(input=3)))

def use():
    assert session.stats().usage.input == 3
"""


@pytest.mark.parametrize("attempt", range(3))
@pytest.mark.parametrize(
    "code",
    [SETTINGS, USER_MODELS, CATALOGUE, EDIT, STATISTICS],
    ids=["settings", "models.json", "catalogue", "edit", "statistics"],
)
def test_threads_may_do_it_for_the_first_time_at_once(code: str, attempt: int) -> None:
    assert first_uses_at_once(code) == (0, "8\n", "")
