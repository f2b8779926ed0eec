"""Text of a server, made fit for an error message: short, printable, without secrets."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

__all__ = ("clean_text",)

_MAX_CHARS = 300
_LOOKED_AT_CHARS = 4096
# Shorter ones may stand in any text.
_SECRET_CHARS = 8
# What reads like a token, whoever's it is: long, unbroken and with a digit.
_TOKEN = re.compile(r"(?=[\w.+/=~-]*\d)[\w.+/=~-]{20,}", re.ASCII)


def clean_text(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without control and formatting characters, in at most 300 characters.

    `secrets`, and whatever else reads like a token, become `<secret>`.
    """
    text = text[:_LOOKED_AT_CHARS]
    # A line feed is a control character itself, so runs of them all become runs of it.
    text = "".join("\n" if unicodedata.category(char)[0] == "C" else char for char in text)
    text = re.sub("\n+", " ", text)
    for secret in secrets:
        if len(secret) >= _SECRET_CHARS:
            for form in (str(secret), quote(secret, safe=""), quote_plus(secret)):
                text = text.replace(form, "<secret>")
    return _TOKEN.sub("<secret>", text).strip()[:_MAX_CHARS]
