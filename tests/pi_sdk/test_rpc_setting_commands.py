"""RPC commands that choose model and thinking, over lines in memory: rpc spec, section 5.2."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pi_ai import Model, Models, ProviderSpec
from support.rpc_wire import Wire, serve


def answered(response: dict[str, Any]) -> dict[str, Any]:
    assert response.pop("success") is True
    return response


def test_rpc_check_26_a_level_is_clamped_and_told_when_it_changes(fake, project):
    async def talk(wire: Wire) -> None:
        await wire.ask("set_thinking_level", level="max")
        await wire.ask("set_thinking_level", level="max")
        levels = await wire.ask("get_available_thinking_levels")
        assert levels["data"] == {"levels": ["off", "minimal", "low", "medium", "high"]}

    records = serve(fake, project, talk).records
    done = {
        "id": "set_thinking_level",
        "type": "response",
        "command": "set_thinking_level",
        "success": True,
    }
    assert records[:3] == [{"type": "thinking_level_changed", "level": "high"}, done, done]


def test_rpc_check_28_set_model_takes_exact_names_of_what_is_available(fake, project, agent_dir):
    async def talk(wire: Wire) -> None:
        for provider, model in (("fake", "zzz"), ("nope", "m1"), ("fake", "M1")):
            response = await wire.ask("set_model", provider=provider, modelId=model)
            assert response["error"] == f"Model not found: {provider}/{model}"
        response = await wire.ask("set_model", provider="fake", modelId="m2")
        assert (response["data"]["id"], response["data"]["contextWindow"]) == ("m2", 8000)
        assert "headers" not in response["data"]
        state = (await wire.ask("get_state"))["data"]
        assert state["model"] == response["data"]
        assert state["thinkingLevel"] == "off"
        models = (await wire.ask("get_available_models"))["data"]["models"]
        assert [model["id"] for model in models] == ["m1", "m2"]
        assert models[1] == response["data"]

    wire = serve(fake, project, talk, agent_dir=agent_dir)
    told = [record for record in wire.records if record["type"] != "response"]
    assert told == [{"type": "thinking_level_changed", "level": "off"}]
    assert list(agent_dir.iterdir()) == []  # it is not the default from now on


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (
            {"type": "set_thinking_level", "level": "bogus"},
            "Invalid set_thinking_level: level expected one of 'off', 'minimal', 'low', 'medium', "
            "'high', 'xhigh', 'max', got 'bogus'",
        ),
        ({"type": "set_thinking_level"}, "Invalid set_thinking_level: level is missing"),
        ({"type": "set_model", "provider": "fake"}, "Invalid set_model: modelId is missing"),
        (
            {"type": "set_model", "provider": 5, "modelId": "m1"},
            "Invalid set_model: provider expected str, got int",
        ),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else "",
)
def test_fields_are_checked_before_anything_happens(fake, project, command, error):
    async def talk(wire: Wire) -> None:
        before = (await wire.ask("get_state"))["data"]
        wire.send({"id": "x", **command})
        response = await wire.response("x")
        assert (response["success"], response["error"]) == (False, error)
        assert (await wire.ask("get_state"))["data"] == before

    assert {r["type"] for r in serve(fake, project, talk).records} == {"response"}


# --- cycling ----------------------------------------------------------------------------------


def test_rpc_check_27_a_model_that_does_not_think_has_no_levels_to_cycle(fake, project):
    async def talk(wire: Wire) -> None:
        assert (await wire.ask("cycle_thinking_level"))["data"] == {"level": "high"}
        assert (await wire.ask("cycle_thinking_level"))["data"] == {"level": "off"}
        await wire.ask("set_model", provider="fake", modelId="m2")
        response = await wire.ask("cycle_thinking_level")
        assert (response["success"], response["data"]) == (True, None)

    records = serve(fake, project, talk).records
    assert [r.get("level", r.get("id")) for r in records[:4]] == [
        "high",
        "cycle_thinking_level",
        "off",
        "cycle_thinking_level",
    ]


def test_rpc_check_29_cycling_through_a_scope(fake, project):
    async def talk(wire: Wire) -> None:
        first = (await wire.ask("cycle_model"))["data"]
        assert (first["model"]["id"], first["thinkingLevel"], first["isScoped"]) == (
            "m2",
            "off",
            True,
        )
        second = (await wire.ask("cycle_model"))["data"]
        assert (second["model"]["id"], second["thinkingLevel"]) == ("m1", "low")

    serve(fake, project, talk, scope=[("m1", "low"), ("m2", None)])


def test_rpc_check_29_one_model_alone_is_not_cycled(fake, project):
    models = Models(())
    models.set_provider(
        ProviderSpec("fake", needs_key=False),
        [Model(id="only", api="openai-completions", provider="fake")],
    )

    async def talk(wire: Wire) -> None:
        response = await wire.ask("cycle_model")
        assert (response["success"], response["data"]) == (True, None)

    serve(fake, project, talk, models=models)


# --- modes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "key", "stored"),
    [
        ("set_steering_mode", "steeringMode", {"steeringMode": "all"}),
        ("set_follow_up_mode", "followUpMode", {"followUpMode": "all"}),
    ],
)
def test_rpc_check_30_modes_are_set_and_stored(fake, project, agent_dir, command, key, stored):
    written: list[Any] = []

    async def talk(wire: Wire) -> None:
        assert (await wire.ask(command, mode="all"))["success"]
        written.append(json.loads((agent_dir / "settings.json").read_text()))
        refused = await wire.ask(command, mode="bogus")
        assert refused["error"] == (
            f"Invalid {command}: mode expected one of 'all', 'one-at-a-time', got 'bogus'"
        )
        assert (await wire.ask("get_state"))["data"][key] == "all"

    serve(fake, project, talk, agent_dir=agent_dir)
    assert written == [stored]


@pytest.mark.parametrize(
    ("command", "stored"),
    [
        ("set_auto_compaction", {"compaction": {"enabled": False}}),
        ("set_auto_retry", {"retry": {"enabled": False}}),
    ],
)
def test_switches_are_set_and_stored(fake, project, agent_dir, command, stored):
    written: list[Any] = []

    async def talk(wire: Wire) -> None:
        assert (await wire.ask(command, enabled=False))["success"]
        written.append(json.loads((agent_dir / "settings.json").read_text()))
        refused = await wire.ask(command, enabled="no")
        assert refused["error"] == f"Invalid {command}: enabled expected bool, got str"
        state = (await wire.ask("get_state"))["data"]
        assert state["autoCompactionEnabled"] is (command != "set_auto_compaction")

    serve(fake, project, talk, agent_dir=agent_dir)
    assert written == [stored]
