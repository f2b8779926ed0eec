"""RPC commands that choose the model and how the session works with it.

Source: rpc spec, section 5.2.
"""

from __future__ import annotations

from msgspec import UNSET

from pi_sdk.errors import ModelChoiceError
from pi_sdk.rpc_call import Call, Handlers
from pi_sdk.rpc_requests import (
    CycleModelCommand,
    CycleThinkingLevelCommand,
    GetAvailableModelsCommand,
    GetAvailableThinkingLevelsCommand,
    SetAutoCompactionCommand,
    SetAutoRetryCommand,
    SetFollowUpModeCommand,
    SetModelCommand,
    SetSteeringModeCommand,
    SetThinkingLevelCommand,
)
from pi_sdk.rpc_run_commands import model_record

__all__ = ("SETTING_HANDLERS",)


async def _set_model(call: Call, command: SetModelCommand) -> object:
    for model in call.session.models.get_available():
        if (model.provider, model.id) == (command.provider, command.model_id):
            await call.session.set_model(model)
            return model_record(model)
    raise ModelChoiceError(f"Model not found: {command.provider}/{command.model_id}")


async def _cycle_model(call: Call, _command: CycleModelCommand) -> object:
    found = await call.session.cycle_model()
    if found is None:
        return None
    return {
        "model": model_record(found.model),
        "thinkingLevel": found.thinking_level,
        "isScoped": found.is_scoped,
    }


async def _get_available_models(call: Call, _command: GetAvailableModelsCommand) -> object:
    return {"models": [model_record(model) for model in call.session.models.get_available()]}


async def _set_thinking_level(call: Call, command: SetThinkingLevelCommand) -> object:
    await call.session.set_thinking_level(command.level)
    return UNSET


async def _cycle_thinking_level(call: Call, _command: CycleThinkingLevelCommand) -> object:
    level = await call.session.cycle_thinking_level()
    return None if level is None else {"level": level}


async def _get_available_levels(call: Call, _command: GetAvailableThinkingLevelsCommand) -> object:
    return {"levels": call.session.get_available_thinking_levels()}


async def _set_steering_mode(call: Call, command: SetSteeringModeCommand) -> object:
    call.session.set_steering_mode(command.mode)
    await call.session.save_settings()
    return UNSET


async def _set_follow_up_mode(call: Call, command: SetFollowUpModeCommand) -> object:
    call.session.set_follow_up_mode(command.mode)
    await call.session.save_settings()
    return UNSET


async def _set_auto_compaction(call: Call, command: SetAutoCompactionCommand) -> object:
    call.session.set_auto_compaction_enabled(command.enabled)
    await call.session.save_settings()
    return UNSET


async def _set_auto_retry(call: Call, command: SetAutoRetryCommand) -> object:
    call.session.set_auto_retry_enabled(command.enabled)
    await call.session.save_settings()
    return UNSET


SETTING_HANDLERS: Handlers = {
    SetModelCommand: _set_model,
    CycleModelCommand: _cycle_model,
    GetAvailableModelsCommand: _get_available_models,
    SetThinkingLevelCommand: _set_thinking_level,
    CycleThinkingLevelCommand: _cycle_thinking_level,
    GetAvailableThinkingLevelsCommand: _get_available_levels,
    SetSteeringModeCommand: _set_steering_mode,
    SetFollowUpModeCommand: _set_follow_up_mode,
    SetAutoCompactionCommand: _set_auto_compaction,
    SetAutoRetryCommand: _set_auto_retry,
}
