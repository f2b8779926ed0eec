"""Which image format some bytes are, and how large the picture is, from the header alone.

Source: tools spec, section 4.2.
"""

from __future__ import annotations

import struct

__all__ = ("SNIFF_BYTES", "image_mime_type", "image_size")

SNIFF_BYTES = 4100
"""How much of a file's beginning `image_mime_type` looks at."""

_PNG = b"\x89PNG\r\n\x1a\n"
_BMP_DEPTHS = (1, 4, 8, 16, 24, 32)
# Start-of-frame markers of JPEG: all of C0-CF but the table markers C4, C8 and CC.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})


def image_mime_type(head: bytes) -> str | None:
    """The MIME type of the image that starts with `head`, or None; names do not matter.

    An animated PNG is none: models would see its first frame only.
    """
    head = head[:SNIFF_BYTES]
    if head.startswith(b"\xff\xd8\xff"):
        return None if head[3:4] == b"\xf7" else "image/jpeg"
    if head.startswith(_PNG):
        return "image/png" if _is_still_png(head) else None
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    return "image/bmp" if _is_bmp(head) else None


def _is_still_png(head: bytes) -> bool:
    if len(head) < 16 or head[8:16] != b"\x00\x00\x00\x0dIHDR":
        return False
    at = 8
    while at + 8 <= len(head):
        kind = head[at + 4 : at + 8]
        if kind == b"acTL":
            return False
        if kind == b"IDAT":
            return True
        at += 12 + int.from_bytes(head[at : at + 4], "big")
    return True


def _is_bmp(head: bytes) -> bool:
    if not head.startswith(b"BM") or len(head) < 26:
        return False
    size, offset, dib_size = struct.unpack_from("<I4xII", head, 2)
    if size and size < 26:
        return False
    if offset < 14 + dib_size or (size and offset >= size):
        return False
    if dib_size == 12:
        planes, depth = struct.unpack_from("<HH", head, 22)
    elif 40 <= dib_size <= 124 and len(head) >= 30:
        planes, depth = struct.unpack_from("<HH", head, 26)
    else:
        return False
    return planes == 1 and depth in _BMP_DEPTHS


def image_size(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels of a png, gif, webp or jpeg, or None if the header is broken."""
    try:
        if data.startswith(_PNG):
            return struct.unpack_from(">II", data, 16)
        if data.startswith(b"GIF8"):
            return struct.unpack_from("<HH", data, 6)
        if data.startswith(b"RIFF"):
            return _webp_size(data)
        if data.startswith(b"\xff\xd8"):
            return _jpeg_size(data)
    except (struct.error, IndexError):
        pass
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    match data[12:16]:
        case b"VP8 ":
            width, height = struct.unpack_from("<HH", data, 26)
            return width & 0x3FFF, height & 0x3FFF
        case b"VP8L":
            (bits,) = struct.unpack_from("<I", data, 21)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            width, height = data[24:27], data[27:30]
            if len(height) < 3:
                return None
            return int.from_bytes(width, "little") + 1, int.from_bytes(height, "little") + 1
        case _:
            return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at < len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
        elif marker in _JPEG_BARE:
            at += 2
        elif marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        else:
            (length,) = struct.unpack_from(">H", data, at + 2)
            at += 2 + length
    return None
