"""Making an image fit for a model: supported format, bounded size, with notes on what changed.

Pillow is imported on first use. Without it an image whose header shows that it is small enough
passes unchanged. Source: tools spec, section 4.3 and section 14, row 15.
"""

from __future__ import annotations

import base64
import io
import math
from decimal import ROUND_HALF_UP, Decimal
from importlib import import_module
from typing import TYPE_CHECKING

import msgspec

from pi_ai import ImageContent, JsonObject, Model, PiError
from pi_tools.image_types import image_size

if TYPE_CHECKING:
    from PIL import Image

__all__ = (
    "ImageOmittedError",
    "ImageResizeOptions",
    "ProcessedImage",
    "model_resize_options",
    "process_image",
)

_SUPPORTED = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_NOT_CONVERTED = "[Image omitted: could not be converted to a supported inline image format.]"
_NOT_RESIZED = "[Image omitted: could not be resized below the inline image size limit.]"
_FALLBACK_QUALITIES = (85, 70, 55, 40)


class ImageResizeOptions(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """The largest image to send: pixels, and bytes of its base64 text (strictly below)."""

    max_width: int = 2000
    max_height: int = 2000
    max_bytes: int = 4_718_592
    jpeg_quality: int = 80


class ImageOmittedError(PiError):
    """The image cannot be sent; the text is written for the model."""


class ProcessedImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image ready to send. `notes`: a line each on a conversion and a change of scale."""

    data: bytes
    mime_type: str
    notes: tuple[str, ...] = ()

    def content(self) -> ImageContent:
        """The block for a message."""
        return ImageContent(base64.b64encode(self.data).decode("ascii"), self.mime_type)


def model_resize_options(model: Model | None) -> ImageResizeOptions | None:
    """The image size `model` asks for in its input limits, or None."""
    if model is None or model.input_limits is None:
        return None
    images: JsonObject = model.input_limits.images or {}
    profile = images.get("resize")
    if profile is None:
        return None
    return msgspec.convert(profile, ImageResizeOptions, strict=False)


def process_image(data: bytes, mime_type: str, resize: ImageResizeOptions | None) -> ProcessedImage:
    """The image in a format every provider takes, scaled down to `resize`; None keeps its size.

    Blocking, and slow for large images: call it in a thread. Raises ImageOmittedError.
    """
    source_type = _base_type(mime_type)
    mime_type, notes = source_type, ()
    if source_type not in _SUPPORTED:
        data, mime_type = _convert_to_png(data), "image/png"
        notes = (f"[Image converted from {source_type} to {mime_type}.]",)
    image = ProcessedImage(data=data, mime_type=mime_type, notes=notes)
    return image if resize is None else _fit(image, resize)


def _base_type(mime_type: str) -> str:
    base = mime_type.partition(";")[0].strip().lower()
    return "image/jpeg" if base == "image/jpg" else base


def _has_pillow() -> bool:
    try:
        import_module("PIL.Image")
    except ImportError:
        return False
    return True


def _convert_to_png(data: bytes) -> bytes:
    if not _has_pillow():
        raise ImageOmittedError(_NOT_CONVERTED)
    try:
        return _encode(_decode(data), "PNG")
    except _decode_errors() as error:
        raise ImageOmittedError(_NOT_CONVERTED) from error


def _fit(image: ProcessedImage, options: ImageResizeOptions) -> ProcessedImage:
    if not _has_pillow():
        size = image_size(image.data)
        if size is None or not _within(size, len(image.data), options):
            raise ImageOmittedError(_NOT_RESIZED)
        return image
    try:
        picture = _decode(image.data)
        if _within(picture.size, len(image.data), options):
            return image
        return _shrink(image, picture, options)
    except _decode_errors() as error:
        raise ImageOmittedError(_NOT_RESIZED) from error


def _decode_errors() -> tuple[type[Exception], ...]:
    """What Pillow raises for bytes it cannot read; UnidentifiedImageError is an OSError."""
    from PIL import Image

    return (
        OSError,
        SyntaxError,
        ValueError,
        ArithmeticError,
        LookupError,
        TypeError,
        EOFError,
        MemoryError,
        Image.DecompressionBombError,
    )


def _decode(data: bytes) -> Image.Image:
    """All pixels of the first frame, the way up its EXIF data says, as RGB, RGBA or grey."""
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(data)) as opened:
        opened.load()
        picture = ImageOps.exif_transpose(opened)
    if picture.mode in ("RGB", "RGBA", "L"):
        return picture
    transparent = picture.mode in ("LA", "PA", "La", "RGBa") or "transparency" in picture.info
    return picture.convert("RGBA" if transparent else "RGB")


def _within(size: tuple[int, int], size_bytes: int, options: ImageResizeOptions) -> bool:
    width, height = size
    return (
        width <= options.max_width
        and height <= options.max_height
        and _base64_length(size_bytes) < options.max_bytes
    )


def _base64_length(size_bytes: int) -> int:
    return (size_bytes + 2) // 3 * 4


def _shrink(
    image: ProcessedImage, picture: Image.Image, options: ImageResizeOptions
) -> ProcessedImage:
    from PIL import Image

    width, height = _target_size(picture.size, options)
    while True:
        scaled = picture.resize((width, height), Image.Resampling.LANCZOS)  # pyright: ignore[reportUnknownMemberType]  # numpy in its signature
        if found := _smallest_encoding(scaled, options):
            data, mime_type = found
            note = _scale_note(picture.size, (width, height))
            return ProcessedImage(data=data, mime_type=mime_type, notes=(*image.notes, note))
        if (width, height) == (1, 1):
            raise ImageOmittedError(_NOT_RESIZED)
        width, height = max(1, int(width * 0.75)), max(1, int(height * 0.75))


def _target_size(size: tuple[int, int], options: ImageResizeOptions) -> tuple[int, int]:
    width, height = size
    if width > options.max_width:
        width, height = options.max_width, _round(height * options.max_width / width)
    if height > options.max_height:
        width, height = _round(width * options.max_height / height), options.max_height
    return max(1, width), max(1, height)


def _round(value: float) -> int:
    return math.floor(value + 0.5)


def _smallest_encoding(
    picture: Image.Image, options: ImageResizeOptions
) -> tuple[bytes, str] | None:
    """The first encoding below the byte limit: the smaller of PNG and the best JPEG first."""
    first, *others = dict.fromkeys((options.jpeg_quality, *_FALLBACK_QUALITIES))
    png = (_encode(picture, "PNG"), "image/png")
    opaque = _opaque(picture)
    jpeg = (_encode(opaque, "JPEG", first), "image/jpeg")
    for data, mime_type in sorted((png, jpeg), key=lambda candidate: len(candidate[0])):
        if _base64_length(len(data)) < options.max_bytes:
            return data, mime_type
    for quality in others:
        data = _encode(opaque, "JPEG", quality)
        if _base64_length(len(data)) < options.max_bytes:
            return data, "image/jpeg"
    return None


def _opaque(picture: Image.Image) -> Image.Image:
    """The picture on white: JPEG has no transparency."""
    from PIL import Image

    if picture.mode != "RGBA":
        return picture
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")


def _encode(picture: Image.Image, kind: str, quality: int | None = None) -> bytes:
    buffer = io.BytesIO()
    if quality is None:
        picture.save(buffer, kind)
    else:
        picture.save(buffer, kind, quality=quality)
    return buffer.getvalue()


def _scale_note(size: tuple[int, int], shown: tuple[int, int]) -> str:
    scale = Decimal(size[0] / shown[0]).quantize(Decimal("0.01"), ROUND_HALF_UP)
    return (
        f"[Image: original {size[0]}x{size[1]}, displayed at {shown[0]}x{shown[1]}. "
        f"Multiply coordinates by {scale} to map to original image.]"
    )
