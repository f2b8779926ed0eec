from __future__ import annotations

import io
import struct

import pytest
from PIL import Image

from pi_tools.image_types import image_mime_type, image_size

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def encoded(kind: str, size: tuple[int, int] = (7, 5), **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "red").save(buffer, kind, **options)
    return buffer.getvalue()


def animated_png() -> bytes:
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def bmp_header(planes: int = 1, depth: int = 24, size: int = 100, offset: int = 54) -> bytes:
    return b"BM" + struct.pack("<I4xIIiiHH", size, offset, 40, 1, 1, planes, depth)


@pytest.mark.parametrize(
    ("head", "mime_type"),
    [
        pytest.param(b"\xff\xd8\xff", "image/jpeg", id="jpeg start"),
        pytest.param(b"RIFF1234WEBP", "image/webp", id="webp start"),
        pytest.param(encoded("PNG"), "image/png", id="png"),
        pytest.param(encoded("JPEG"), "image/jpeg", id="jpeg"),
        pytest.param(encoded("GIF"), "image/gif", id="gif"),
        pytest.param(encoded("WEBP"), "image/webp", id="webp"),
        pytest.param(encoded("BMP"), "image/bmp", id="bmp"),
        pytest.param(b"GIF87a", "image/gif", id="old gif"),
        pytest.param(bmp_header(), "image/bmp", id="bmp header"),
        pytest.param(bmp_header(size=0), "image/bmp", id="bmp without a size"),
        pytest.param(bmp_header(planes=2), None, id="bmp with two planes"),
        pytest.param(bmp_header(depth=15), None, id="bmp of odd depth"),
        pytest.param(bmp_header(offset=20), None, id="bmp with pixels in its header"),
        pytest.param(bmp_header(size=50), None, id="bmp shorter than its header"),
        pytest.param(b"\xff\xd8\xff\xf7", None, id="lossless jpeg"),
        pytest.param(b"GIF88a", None, id="no gif"),
        pytest.param(b"RIFF1234WAVE", None, id="wave"),
        pytest.param(b"", None, id="empty"),
        pytest.param(PNG_SIGNATURE, None, id="bare png signature"),
        pytest.param(animated_png(), None, id="animated png"),
        pytest.param(b"BM is how this prose begins, and it goes on a while", None, id="prose"),
    ],
)
def test_tools_check_16_sniff(head: bytes, mime_type: str | None) -> None:
    assert image_mime_type(head) == mime_type


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encoded("PNG", (300, 200)), id="png"),
        pytest.param(encoded("GIF", (300, 200)), id="gif"),
        pytest.param(encoded("JPEG", (300, 200)), id="jpeg"),
        pytest.param(encoded("JPEG", (300, 200), progressive=True), id="progressive jpeg"),
        pytest.param(encoded("WEBP", (300, 200)), id="lossy webp"),
        pytest.param(encoded("WEBP", (300, 200), lossless=True), id="lossless webp"),
        pytest.param(encoded("WEBP", (300, 200), exif=b"Exif\0\0"), id="extended webp"),
    ],
)
def test_size_from_the_header(data: bytes) -> None:
    assert image_size(data) == (300, 200)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "JPEG", "WEBP"])
def test_size_of_a_cut_header_is_unknown_or_right(kind: str) -> None:
    data = encoded(kind, (300, 200))
    found = {image_size(data[:end]) for end in range(len(data))}
    assert found <= {None, (300, 200)}
    assert image_size(b"text") is None
