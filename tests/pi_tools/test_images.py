from __future__ import annotations

import base64
import io
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from pi_agent.types import ToolResult
from pi_ai import ImageContent, Model
from pi_ai.types import InputLimits
from pi_tools import (
    ImageOmittedError,
    ImageResizeOptions,
    create_read_tool,
    model_resize_options,
    process_image,
)

if TYPE_CHECKING:
    from tests.pi_tools.conftest import Calls

NO_VISION = "[Current model does not support images. The image will be omitted from this request.]"
NOT_RESIZED = "[Image omitted: could not be resized below the inline image size limit.]"
NOT_CONVERTED = "[Image omitted: could not be converted to a supported inline image format.]"


def encoded(kind: str, size: tuple[int, int], mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, kind, **options)
    return buffer.getvalue()


def noise(size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    pixels = random.Random(1).randbytes(size[0] * size[1] * 3)
    Image.frombytes("RGB", size, pixels).save(buffer, "PNG")
    return buffer.getvalue()


def rotated_jpeg(size: tuple[int, int]) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded("JPEG", size, exif=exif)


def model(*modalities: Any, resize: dict[str, int] | None = None) -> Model:
    limits = None if resize is None else InputLimits(images={"resize": resize})
    return Model(id="m", api="a", provider="p", input=list(modalities), input_limits=limits)


def shown_size(result: ToolResult) -> tuple[int, int]:
    block = result.content[1]
    assert isinstance(block, ImageContent)
    with Image.open(io.BytesIO(base64.b64decode(block.data))) as picture:
        return picture.size


def read(
    calls: Calls, folder: Path, data: bytes, model: Model | None = None, **options: Any
) -> ToolResult:
    (folder / "small.txt").write_bytes(data)
    return calls.result(create_read_tool(folder, **options), {"path": "small.txt"}, model=model)


def test_tools_check_11_content_decides_not_the_name(calls: Calls, tmp_path: Path) -> None:
    data = encoded("PNG", (3, 2))
    result = read(calls, tmp_path, data)
    assert calls.first_text(result) == "Read image file [image/png]"
    assert result.content[1] == ImageContent(base64.b64encode(data).decode(), "image/png")
    assert not isinstance(result.details, dict)
    (tmp_path / "fake.png").write_text("just text")
    assert calls.text(create_read_tool(tmp_path), {"path": "fake.png"}) == "just text"


def test_tools_check_12_large_image_is_scaled_down(calls: Calls, tmp_path: Path) -> None:
    text = (
        "Read image file [image/png]\n[Image: original 3000x1500, displayed at 2000x1000. "
        "Multiply coordinates by 1.50 to map to original image.]"
    )
    data = encoded("PNG", (3000, 1500), "L")
    result = read(calls, tmp_path, data)
    assert calls.first_text(result) == text
    assert shown_size(result) == (2000, 1000)
    blind = read(calls, tmp_path, data, model("text"))
    assert calls.first_text(blind) == f"{text}\n{NO_VISION}"
    assert shown_size(blind) == (2000, 1000)


def test_tools_check_12_image_at_the_limit_is_untouched(calls: Calls, tmp_path: Path) -> None:
    data = encoded("PNG", (2000, 2000), "L")
    result = read(calls, tmp_path, data)
    assert result.content[1] == ImageContent(base64.b64encode(data).decode(), "image/png")


@pytest.mark.parametrize(
    ("data", "text", "size"),
    [
        pytest.param(
            encoded("BMP", (10, 10)),
            "Read image file [image/png]\n[Image converted from image/bmp to image/png.]",
            (10, 10),
            id="bmp",
        ),
        pytest.param(
            encoded("BMP", (2500, 10)),
            "Read image file [image/png]\n[Image converted from image/bmp to image/png.]\n"
            "[Image: original 2500x10, displayed at 2000x8. "
            "Multiply coordinates by 1.25 to map to original image.]",
            (2000, 8),
            id="wide bmp",
        ),
        pytest.param(
            rotated_jpeg((3000, 1000)),
            "Read image file [image/png]\n[Image: original 1000x3000, displayed at 667x2000. "
            "Multiply coordinates by 1.50 to map to original image.]",
            (667, 2000),
            id="rotated jpeg",
        ),
    ],
)
def test_tools_check_13_conversion_and_rotation(
    data: bytes, text: str, size: tuple[int, int], calls: Calls, tmp_path: Path
) -> None:
    result = read(calls, tmp_path, data)
    assert calls.first_text(result) == text
    assert shown_size(result) == size


def test_tools_check_14_options_and_model_profile(calls: Calls, tmp_path: Path) -> None:
    data = encoded("PNG", (3000, 1500), "L")
    options = ImageResizeOptions(max_width=100, max_height=100)
    result = read(calls, tmp_path, data, resize_options=options)
    assert "displayed at 100x50. Multiply coordinates by 30.00 " in calls.first_text(result)
    wish = model("text", "image", resize={"maxWidth": 500})
    result = read(calls, tmp_path, data, wish, resize_options=options)
    assert "displayed at 500x250. Multiply coordinates by 6.00 " in calls.first_text(result)


def test_model_profile_is_merged_over_the_defaults() -> None:
    assert model_resize_options(model("image", resize={"maxBytes": 9})) == ImageResizeOptions(
        max_bytes=9
    )
    assert model_resize_options(model("image")) is None
    assert model_resize_options(None) is None


def test_tools_check_15_broken_image(calls: Calls, tmp_path: Path) -> None:
    data = encoded("PNG", (30, 20))[:40]
    result = read(calls, tmp_path, data)
    assert len(result.content) == 1
    assert calls.first_text(result) == f"Read image file [image/png]\n{NOT_RESIZED}"
    blind = read(calls, tmp_path, data, model("text"))
    assert calls.first_text(blind).endswith(f"{NOT_RESIZED}\n{NO_VISION}")
    kept = read(calls, tmp_path, data, auto_resize_images=False)
    assert kept.content[1] == ImageContent(base64.b64encode(data).decode(), "image/png")


def test_bmp_is_converted_even_without_resizing() -> None:
    image = process_image(encoded("BMP", (3000, 2)), "image/bmp", None)
    assert image.mime_type == "image/png"
    assert image.notes == ("[Image converted from image/bmp to image/png.]",)
    with pytest.raises(ImageOmittedError) as caught:
        process_image(b"BM nonsense", "image/bmp", None)
    assert str(caught.value) == NOT_CONVERTED


@pytest.mark.parametrize("mime_type", ["image/jpg", "IMAGE/JPEG; q=1", "image/jpeg"])
def test_mime_type_is_normalised(mime_type: str) -> None:
    data = encoded("JPEG", (4, 4))
    image = process_image(data, mime_type, ImageResizeOptions())
    assert (image.data, image.mime_type, image.notes) == (data, "image/jpeg", ())


def test_byte_limit_lowers_quality_then_size() -> None:
    data = noise((200, 100))
    quality = process_image(data, "image/png", ImageResizeOptions(max_bytes=30_000))
    assert quality.mime_type == "image/jpeg"
    assert "displayed at 200x100" in quality.notes[0]
    smaller = process_image(data, "image/png", ImageResizeOptions(max_bytes=5_000))
    assert len(base64.b64encode(smaller.data)) < 5_000
    assert "displayed at 200x100" not in smaller.notes[0]
    with pytest.raises(ImageOmittedError) as caught:
        process_image(data, "image/png", ImageResizeOptions(max_bytes=20))
    assert str(caught.value) == NOT_RESIZED


@pytest.mark.parametrize("mode", ["P", "LA", "RGBA", "1", "I;16", "CMYK"])
def test_every_pixel_format_can_be_scaled(mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    image = process_image(
        encoded(kind, (40, 20), mode), f"image/{kind.lower()}", ImageResizeOptions(max_width=10)
    )
    with Image.open(io.BytesIO(image.data)) as picture:
        assert picture.size == (10, 5)


def test_scale_is_rounded_half_up() -> None:
    image = process_image(encoded("PNG", (9, 9)), "image/png", ImageResizeOptions(max_width=8))
    assert "Multiply coordinates by 1.13 " in image.notes[0]


@pytest.fixture
def without_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "PIL"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "PIL", None)


@pytest.mark.usefixtures("without_pillow")
@pytest.mark.parametrize(
    ("data", "mime_type", "text"),
    [
        pytest.param(encoded("PNG", (20, 20)), "image/png", None, id="small png"),
        pytest.param(encoded("JPEG", (20, 20)), "image/jpeg", None, id="small jpeg"),
        pytest.param(encoded("PNG", (2001, 2)), "image/png", NOT_RESIZED, id="wide png"),
        pytest.param(b"GIF89a", "image/gif", NOT_RESIZED, id="broken gif"),
        pytest.param(encoded("BMP", (2, 2)), "image/bmp", NOT_CONVERTED, id="bmp"),
    ],
)
def test_without_pillow_small_images_pass(data: bytes, mime_type: str, text: str | None) -> None:
    if text is None:
        assert process_image(data, mime_type, ImageResizeOptions()).data == data
    else:
        with pytest.raises(ImageOmittedError) as caught:
            process_image(data, mime_type, ImageResizeOptions())
        assert str(caught.value) == text
