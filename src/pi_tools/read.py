"""The `read` tool: a file's text, or an image. Source: tools spec, section 4."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import msgspec
from msgspec import Struct

from pi_agent.types import AgentTool, ToolContext, ToolError, ToolResult
from pi_ai import AbortSignal, JsonObject, Model, TextContent
from pi_tools.arguments import read_arguments, whole_number
from pi_tools.binary import BINARY_SNIFF_BYTES, binary_type
from pi_tools.file_page import FilePage
from pi_tools.images import (
    ImageOmittedError,
    ImageResizeOptions,
    model_resize_options,
    process_image,
)
from pi_tools.line_window import LineWindow
from pi_tools.operations import (
    DetectsImages,
    KnowsFileSize,
    LocalFileOperations,
    PagesFiles,
    ReadOperations,
    StreamsFiles,
)
from pi_tools.os_errors import tool_errors
from pi_tools.paths import absolute_cwd, paths_of, resolve_read_path, working_directory
from pi_tools.settled import settled
from pi_tools.truncate import DEFAULT_MAX_BYTES, DEFAULT_MAX_LINES, TruncationResult, format_size
from pi_tools.uninterrupted import abortable

__all__ = ("create_read_tool",)

_MAX_SIZE = format_size(DEFAULT_MAX_BYTES)
_DESCRIPTION = (
    "Read a file. Text is shown as it is; images (jpg, png, gif, webp, bmp) are attached. "
    f"Text is cut at {DEFAULT_MAX_LINES} lines or {DEFAULT_MAX_BYTES // 1024}KB, whichever comes "
    "first: for a longer file, call again with offset until you have what you need."
)
_PARAMETERS: JsonObject = {
    "type": "object",
    "required": ["path"],
    "properties": {
        "path": {"type": "string", "description": "The file, relative or absolute"},
        "offset": {"type": "number", "description": "First line to show, counted from 1"},
        "limit": {"type": "number", "description": "How many lines to show at most"},
    },
}
_GUIDELINE = "Look at files with read rather than with cat or sed."
_NO_VISION = "[Current model does not support images. The image will be omitted from this request.]"


def create_read_tool(
    cwd: str | os.PathLike[str],
    *,
    operations: ReadOperations | None = None,
    auto_resize_images: bool = True,
    resize_options: ImageResizeOptions | None = None,
) -> AgentTool:
    """The `read` tool for paths relative to `cwd`.

    Images are scaled down to what the model asks for, or else to `resize_options`; without
    `auto_resize_images` they are sent in the size they have.
    """
    tool = _ReadTool(
        cwd=absolute_cwd(cwd),
        operations=LocalFileOperations() if operations is None else operations,
        resize_options=(resize_options or ImageResizeOptions()) if auto_resize_images else None,
    )
    return AgentTool(
        name="read",
        description=_DESCRIPTION,
        parameters=_PARAMETERS,
        execute=tool.execute,
        constrained_sampling={"type": "json_schema", "strict": "prefer"},
        prompt_snippet="Show a text file or an image",
        prompt_guidelines=(_GUIDELINE,),
    )


class _Arguments(msgspec.Struct):
    path: str
    offset: int | float | None = None
    limit: int | float | None = None


class _ReadTool(Struct, frozen=True, kw_only=True):
    cwd: str
    operations: ReadOperations
    resize_options: ImageResizeOptions | None

    async def execute(self, arguments: JsonObject, ctx: ToolContext) -> ToolResult:
        request = read_arguments(arguments, _Arguments)
        with abortable(ctx.signal), tool_errors():
            cwd = working_directory(ctx.host_cwd, self.cwd)
            path = await resolve_read_path(request.path, cwd, paths_of(self.operations))
            await settled(self.operations.access(path))
            if isinstance(self.operations, DetectsImages):
                mime_type = await settled(self.operations.detect_image_mime_type(path))
                if mime_type:
                    return await self._read_image(path, mime_type, ctx.model)
            return await self._read_text(path, request, cwd, ctx.signal)

    async def _read_image(self, path: str, mime_type: str, model: Model | None) -> ToolResult:
        data = await settled(self.operations.read_file(path))
        resize = self.resize_options
        if resize is not None:
            resize = model_resize_options(model) or resize
        no_vision = (_NO_VISION,) if model is not None and "image" not in model.input else ()
        try:
            image = await asyncio.to_thread(process_image, data, mime_type, resize)
        except ImageOmittedError as error:
            return ToolResult.text(
                "\n".join((f"Read image file [{mime_type}]", str(error), *no_vision))
            )
        text = "\n".join((f"Read image file [{image.mime_type}]", *image.notes, *no_vision))
        return ToolResult([TextContent(text), image.content()])

    async def _read_text(
        self, path: str, request: _Arguments, cwd: str, signal: AbortSignal
    ) -> ToolResult:
        start = 0 if request.offset is None else whole_number(request.offset) - 1
        limit = None if request.limit is None else whole_number(request.limit)
        page = None
        if isinstance(self.operations, PagesFiles):
            page = await settled(self.operations.read_page(path, start, limit))
        if isinstance(page, FilePage):
            window = page
            if kind := binary_type(page.head):
                return await self._describe_binary(path, kind, len(page.head))
        else:
            window = LineWindow(start, limit)
            async with aclosing(self._pieces(path, signal, page)) as pieces:
                if binary := await self._fill(window, path, pieces):
                    return binary
        cut = window.finish()
        if window.remaining_lines < 0 or start >= window.total_lines:
            raise ToolError(
                f"Offset {start + 1} is beyond end of file ({window.total_lines} lines total)"
            )
        text = _with_notice(cut, window, start, limit, _shell_path(request.path, path, cwd))
        if not cut.truncated:
            return ToolResult.text(text)
        return ToolResult([TextContent(text)], details={"truncation": cut.stored()})

    async def _fill(
        self, window: LineWindow, path: str, pieces: AsyncIterator[bytes]
    ) -> ToolResult | None:
        """Pass the file through `window`; the result instead, if the file is binary."""
        head = bytearray()
        size = 0
        async for data in pieces:
            size += len(data)
            if len(head) < BINARY_SNIFF_BYTES:
                head += data[: BINARY_SNIFF_BYTES - len(head)]
                if kind := binary_type(bytes(head)):
                    return await self._describe_binary(path, kind, size)
            window.feed(data)
        return None

    async def _pieces(
        self, path: str, signal: AbortSignal, whole: bytes | None
    ) -> AsyncGenerator[bytes]:
        if whole is not None:
            yield whole
            return
        if not isinstance(self.operations, StreamsFiles):
            yield await settled(self.operations.read_file(path))
            return
        stream: AsyncIterator[bytes] = self.operations.create_read_stream(path, signal)
        try:
            async for data in stream:
                yield data
        finally:
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()

    async def _describe_binary(self, path: str, kind: str, read_bytes: int) -> ToolResult:
        size: int | None = None
        if isinstance(self.operations, KnowsFileSize):
            size = await settled(self.operations.file_size(path))
        elif not isinstance(self.operations, StreamsFiles):
            size = read_bytes
        known = kind if size is None else f"{kind}, {format_size(size)}"
        return ToolResult.text(
            f"[Binary file ({known}): content not shown. Use bash with a program for this type.]"
        )


def _with_notice(
    cut: TruncationResult,
    window: LineWindow | FilePage,
    start: int,
    limit: int | None,
    shell_path: str,
) -> str:
    """The text to show, and how to go on if it is not all there is."""
    first, last = start + 1, start + cut.output_lines
    if cut.first_line_exceeds_limit:
        size = format_size(window.first_line_bytes)
        return (
            f"[Line {first} is {size}, exceeds {_MAX_SIZE} limit. "
            f"Use bash: sed -n '{first}p' {shell_path} | head -c {DEFAULT_MAX_BYTES}]"
        )
    if cut.truncated:
        by_bytes = f" ({_MAX_SIZE} limit)" if cut.truncated_by == "bytes" else ""
        return (
            f"{cut.content}\n\n[Showing lines {first}-{last} of {window.total_lines}{by_bytes}. "
            f"Use offset={last + 1} to continue.]"
        )
    if limit is not None and window.remaining_lines > 0:
        return (
            f"{cut.content}\n\n[{window.remaining_lines} more lines in file. "
            f"Use offset={start + limit + 1} to continue.]"
        )
    return cut.content


def _shell_path(path: str, resolved: str, cwd: str) -> str:
    """`path` for a shell, as it was given if a shell takes it for the same file."""
    same = os.path.normpath(os.path.join(cwd, path)) == resolved
    return shlex.quote(path if same else resolved)
