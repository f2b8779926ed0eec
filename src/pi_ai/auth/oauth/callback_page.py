"""The page that a browser sees at the end of a login. Pure."""

from __future__ import annotations

from html import escape
from http import HTTPStatus

__all__ = ("render_page",)

_HEADERS = (
    "content-type: text/html; charset=utf-8",
    "cache-control: no-store",
    "connection: close",
    "referrer-policy: no-referrer",
    "x-content-type-options: nosniff",
    "content-security-policy: default-src 'none'; style-src 'unsafe-inline'",
)
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
<style>body {{ font: 16px/1.5 sans-serif; max-width: 36em; margin: 4em auto }}</style>
<h1>{title}</h1>
<p>{text}</p>
</html>
"""


def render_page(status: int, text: str, *, with_body: bool = True) -> bytes:
    """A whole HTTP response that says `text`, which may hold anything but secrets."""
    title = "Signed in" if status == HTTPStatus.OK else "Not signed in"
    page = _PAGE.format(title=title, text=escape(text)).encode("utf-8", "replace")
    start = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"
    head = "\r\n".join((start, *_HEADERS, f"content-length: {len(page)}"))
    return head.encode("ascii") + b"\r\n\r\n" + (page if with_body else b"")
