"""Reading a request to the callback server, which any program and web page can send. Pure.

Source: auth spec, section 4 and D-8.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from urllib.parse import unquote_plus

from pi_ai.secrets import Masked

__all__ = ("MAX_HEAD_BYTES", "CallbackRequest", "RefusedRequestError", "read_request")

MAX_HEAD_BYTES = 16 << 10
"""Request line and headers together."""

_MAX_LINE_BYTES = 8 << 10
_REQUEST_LINE = re.compile(rb"([!-~]+) ([!-~]+) HTTP/1\.[01]")
# A token, a colon, and text without control characters but the tab.
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*)")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::[0-9]{1,5})?")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_OWN_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})


class RefusedRequestError(ValueError):
    """A request that no browser at the end of a login sends. The text holds nothing of it."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class CallbackRequest(Masked, frozen=True):
    """A request of a good form: path and query, decoded."""

    method: str
    path: str
    query: Mapping[str, str]

    def __repr__(self) -> str:
        return f"<CallbackRequest {self.method}>"


def read_request(head: bytes, own_hosts: Collection[str] = ()) -> CallbackRequest:
    """A request line with its headers, up to and with the empty line.

    `own_hosts` are names of this server beside those of the loopback interface. Raises
    `RefusedRequestError`.
    """
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    if max(map(len, (first, *lines))) > _MAX_LINE_BYTES:
        raise RefusedRequestError(431, "The request is too long.")
    matched = _REQUEST_LINE.fullmatch(first)
    if matched is None:
        raise RefusedRequestError(400, "Malformed request.")
    method, target = (part.decode("ascii") for part in matched.groups())
    if not target.startswith("/") or target.startswith("//"):
        raise RefusedRequestError(400, "Malformed request target.")
    _check_host(lines, own_hosts)
    path, _, query = target.partition("?")
    return CallbackRequest(method, path, _read_query(query))


def _check_host(lines: list[bytes], own_hosts: Collection[str]) -> None:
    hosts: list[str] = []
    for line in lines:
        matched = _HEADER.fullmatch(line)
        if matched is None:
            raise RefusedRequestError(400, "Malformed request header.")
        if matched[1].lower() == b"host":
            hosts.append(matched[2].decode("latin-1").rstrip(" \t").lower())
    named = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
    if named is None or named[1] not in {*_OWN_HOSTS, *own_hosts}:
        raise RefusedRequestError(400, "Unknown host.")


def _read_query(query: str) -> dict[str, str]:
    if _BROKEN_ESCAPE.search(query):
        raise RefusedRequestError(400, "Malformed request target.")
    found: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        name = unquote_plus(name)
        if name in found:  # RFC 6749, section 3.1
            raise RefusedRequestError(400, "Repeated parameter.")
        found[name] = unquote_plus(value)
    return found
