"""Reads the models of one built-in provider, when they are first asked for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from pi_ai.types import Model
from pi_ai.wire import decoder_for

__all__ = ("load_models",)


@cache
def load_models(provider: str) -> Mapping[str, Model]:
    """The models of `provider` by id, in the catalogue's order; empty for one without any.

    Raises `msgspec.ValidationError` for a file that is damaged.
    """
    from importlib.resources import files  # pulls in tempfile and zipfile: not before it is needed

    path = files("pi_ai.catalog").joinpath("data", f"{provider}.json")
    if not path.is_file():
        return MappingProxyType({})
    models = decoder_for(list[Model]).decode(path.read_bytes())
    return MappingProxyType({model.id: model for model in models})
