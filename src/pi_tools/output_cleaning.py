"""Terminal output as plain text: without escape sequences, control characters and CRs.

Source: tools spec, section 12.
"""

from __future__ import annotations

import re

__all__ = ("OutputCleaner", "clean_output")

_HELD_CHARACTERS = 256
_INTRODUCER = re.compile("[\x1b\x9b]")
_OSC_END = re.compile("\x07|\x1b\\\\|\x9c")
_PARAMETERS = r"(?:\d{1,4}(?:[;:]\d{0,4})*)?"
_SEQUENCE = re.compile(
    rf"(?:(?:\x1b\[|\x9b)[<=>]|[\x1b\x9b][\[\]()#;?]*){_PARAMETERS}[\dA-PR-TZcf-nq-uy=><~]",
    re.ASCII,
)
# What may become a sequence, or a longer one, with the next piece of output.
_UNFINISHED = re.compile(
    rf"(?:(?:\x1b\[|\x9b)[<=>]|[\x1b\x9b][\[\]()#;?]*){_PARAMETERS}\Z", re.ASCII
)
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\ufff9-\ufffb]")


def clean_output(text: str) -> str:
    """`text` as it reads on a terminal that has no colours: newlines and tabs stay."""
    cleaner = OutputCleaner()
    return cleaner.feed(text) + cleaner.finish()


class OutputCleaner:
    """`clean_output` for text that comes in pieces.

    A sequence that a piece leaves unfinished is held back for the next one, if it is no longer
    than 256 characters; such sequences are cleaned as if the text had come at once.
    """

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        """The cleaned text that is certain now."""
        text = self._held + text
        kept, rest = _strip(text, final=False)
        self._held = text[rest:]
        return _CONTROLS.sub("", kept)

    def finish(self) -> str:
        """What was held back. Call it once, after the last piece."""
        kept, _ = _strip(self._held, final=True)
        self._held = ""
        return _CONTROLS.sub("", kept)


def _strip(text: str, *, final: bool) -> tuple[str, int]:
    """`text` without its sequences, and where an unfinished one begins."""
    pieces: list[str] = []
    at = 0
    # Looked up once for all the sequences before it, so that no text takes quadratic time.
    osc_end: re.Match[str] | None = None
    osc_ends = True
    while introducer := _INTRODUCER.search(text, at):
        start = introducer.start()
        pieces.append(text[at:start])
        hold = not final and len(text) - start <= _HELD_CHARACTERS
        if text.startswith("\x1b]", start):
            if osc_ends and (osc_end is None or osc_end.start() < start + 2):
                osc_end = _OSC_END.search(text, start + 2)
                osc_ends = osc_end is not None
            if osc_ends and osc_end is not None:
                at = osc_end.end()
                continue
            if hold:
                return "".join(pieces), start
        if hold and _UNFINISHED.match(text, start):
            return "".join(pieces), start
        found = _SEQUENCE.match(text, start)
        at = found.end() if found else start + 1
        if not found:
            pieces.append(text[start])
    pieces.append(text[at:])
    return "".join(pieces), len(text)
