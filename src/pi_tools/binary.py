"""Telling binary files from text, and what kind they are.

Source: design, section 5 on tools.md.
"""

from __future__ import annotations

__all__ = ("BINARY_SNIFF_BYTES", "binary_type")

BINARY_SNIFF_BYTES = 8192
"""How much of a file's beginning decides whether it is binary."""

_SIGNATURES = (
    (b"\x7fELF", "ELF executable or library"),
    (b"PK\x03\x04", "ZIP archive or a format based on it"),
    (b"\x1f\x8b", "gzip data"),
    (b"BZh", "bzip2 data"),
    (b"\xfd7zXZ\x00", "xz data"),
    (b"\x28\xb5\x2f\xfd", "Zstandard data"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip archive"),
    (b"%PDF-", "PDF document"),
    (b"SQLite format 3\x00", "SQLite database"),
    (b"\x00asm", "WebAssembly module"),
    (b"\x89PNG\r\n\x1a\n", "PNG image that cannot be shown"),
    (b"MZ", "Windows executable"),
    (b"\xcf\xfa\xed\xfe", "Mach-O executable or library"),
    (b"\xca\xfe\xba\xbe", "Java class or Mach-O universal binary"),
    (b"OggS", "Ogg media"),
    (b"ID3", "MP3 audio"),
    (b"RIFF", "RIFF media"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
)


def binary_type(head: bytes) -> str | None:
    """What kind of binary file starts with `head`, or None if it is text: has no NUL byte."""
    if b"\x00" not in head[:BINARY_SNIFF_BYTES]:
        return None
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    if head[257:262] == b"ustar":
        return "tar archive"
    if head[4:8] == b"ftyp":
        return "MP4 media"
    return "unknown type"
