"""Between text and UTF-8 bytes, with the lone surrogates that JSON arguments may carry.

Source: tools spec, section 3.4.
"""

from __future__ import annotations

import re

__all__ = ("encode_text", "utf8_length", "well_formed")

_SURROGATE = re.compile("[\ud800-\udfff]")


def well_formed(text: str) -> str:
    """`text` with U+FFFD for every lone surrogate."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def encode_text(text: str) -> bytes:
    """`text` as UTF-8; a lone surrogate becomes U+FFFD."""
    return well_formed(text).encode()


def utf8_length(text: str) -> int:
    """How many bytes `text` has in UTF-8; a lone surrogate counts as U+FFFD, three bytes."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
