"""RPC commands that choose the model and how the session works with it.

Source: rpc spec, section 5.2.
"""

from __future__ import annotations

from msgspec import UNSET

from pi_sdk.errors import ModelChoiceError
from pi_sdk.rpc_call import Call, Handlers
from pi_sdk.rpc_requests import (
    GetAvailableModelsCommand,
    GetAvailableThinkingLevelsCommand,
    SetModelCommand,
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


async def _get_available_models(call: Call, _command: GetAvailableModelsCommand) -> object:
    return {"models": [model_record(model) for model in call.session.models.get_available()]}


async def _set_thinking_level(call: Call, command: SetThinkingLevelCommand) -> object:
    await call.session.set_thinking_level(command.level)
    return UNSET


async def _get_available_levels(call: Call, _command: GetAvailableThinkingLevelsCommand) -> object:
    return {"levels": call.session.get_available_thinking_levels()}


SETTING_HANDLERS: Handlers = {
    SetModelCommand: _set_model,
    GetAvailableModelsCommand: _get_available_models,
    SetThinkingLevelCommand: _set_thinking_level,
    GetAvailableThinkingLevelsCommand: _get_available_levels,
}
