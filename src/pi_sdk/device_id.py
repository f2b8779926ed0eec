"""The id of the user's installation, which some logins tell the provider.

Source: auth spec, section 2.3.
"""

from __future__ import annotations

import os
import re
import uuid
from functools import partial

from pi_ai import JsonObject, JsonValue
from pi_ai.errors import LockHeldError, LockLostError
from pi_ai.json_text import js_json
from pi_sdk.errors import SdkError
from pi_sdk.json_file import change_json_object, read_json_object
from pi_session import resolve_agent_dir

__all__ = ("stored_device_id",)

_KEY = "deviceId"
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


async def stored_device_id(agent_dir: str | os.PathLike[str] | None = None) -> str:
    """A UUID that stays the same: `deviceId` of the agent directory's settings.json.

    Made at the first call, and shared with upstream's programs; what a project's settings say
    does not count. For `LoginOptions(get_device_id=...)`. Raises `SdkError` for a file that cannot
    be read or written.
    """
    path = resolve_agent_dir(agent_dir).absolute() / "settings.json"
    try:
        if (known := _usable(read_json_object(path))) is not None:
            return known
        await change_json_object(path, _make, partial(js_json, indent=2), directory_mode=0o700)
        known = _usable(read_json_object(path))
    except (OSError, ValueError, LockHeldError, LockLostError) as error:
        raise SdkError(f"Could not keep a device ID in {path}: {error}") from error
    assert known is not None
    return known


def _usable(settings: JsonObject) -> str | None:
    told: JsonValue = settings.get(_KEY)
    return told if isinstance(told, str) and _UUID.fullmatch(told) else None


def _make(settings: JsonObject) -> None:
    if _usable(settings) is None:  # another process may have been first
        settings[_KEY] = str(uuid.uuid4())
