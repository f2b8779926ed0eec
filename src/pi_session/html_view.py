"""A session and its costs as HTML for a notebook: tables without scripts, colours or links.

Every text is cut, made one line and escaped; none is part of an attribute. The size is bounded,
however long the session is.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from pi_session.outline import Gap, OutlineRow, build_digest, build_outline
from pi_session.plain_text import counted, one_line, usd
from pi_session.stats import SessionStats, session_stats
from pi_session.text_view import stats_line, usage_table
from pi_session.tree import SessionTree

__all__ = ("session_html", "stats_html")

_SHOWN_ENTRIES = 50
_SHOWN_MODELS = 20
_TEXT_LIMIT = 160
_NAME_LIMIT = 80
_ID_LIMIT = 40
_DEEPEST = 12
_LEFT = "text-align:left;vertical-align:top;white-space:normal"
_WHOLE = "text-align:left;vertical-align:top;white-space:nowrap"
_RIGHT = "text-align:right;vertical-align:top"
_BRANCHES = tuple(
    f"{_LEFT};padding-left:{0.5 + 1.5 * depth}em" + (";opacity:0.7" if depth else "")
    for depth in range(_DEEPEST + 1)
)


def session_html(session: SessionTree, *, newest: int = _SHOWN_ENTRIES) -> str:
    """Name, costs by model, and the tree down to its `newest` entries, the rest counted."""
    name = session.get_session_name() or session.session_id
    cwd = session.get_header().cwd
    title = f"<p><b>{_text(name, _NAME_LIMIT)}</b> {_text(cwd, _NAME_LIMIT)}</p>"
    stats = session_stats(session.get_entries())
    rows = [_head(("", "id", "time", "entry", "tool calls", "cost"), left=5)]
    rows.extend(
        _gap(row) if isinstance(row, Gap) else _entry(row, session.leaf_id)
        for row in build_outline(session, newest)
    )
    return f"<div>{title}{stats_html(stats)}<table>{''.join(rows)}</table></div>"


def stats_html(stats: SessionStats) -> str:
    """What was counted, and a table of usage and cost by model."""
    head, *rows = usage_table(stats, _SHOWN_MODELS)
    body = "".join(
        _row([_cell(row[0]), *(_cell(text, _RIGHT) for text in row[1:])]) for row in rows
    )
    note = "<p>+ some of it has no known price</p>" if stats.usage.cost.unpriced else ""
    table = f"<table>{_head(head, left=1)}{body}</table>"
    return f"<p>{escape(stats_line(stats))}</p>{table}{note}"


def _entry(row: OutlineRow, leaf_id: str | None) -> str:
    digest = build_digest(row.entry)
    marker = "&#9654;" if row.entry.id == leaf_id else "&#9679;" if row.active else ""
    said = f"<b>{_text(digest.kind, _NAME_LIMIT)}</b> {_text(digest.text, _TEXT_LIMIT)}"
    if digest.failed:
        said = f"&#10007; {said}"
    if row.label:
        said += f" <i>#{_text(row.label, _NAME_LIMIT)}</i>"
    return _row(
        [
            f'<td style="{_LEFT}">{marker}</td>',
            _cell(row.entry.id, limit=_ID_LIMIT),
            _cell(row.entry.timestamp[:19].replace("T", " "), _WHOLE),
            f'<td style="{_BRANCHES[min(row.depth, _DEEPEST)]}">{said}</td>',
            _cell(", ".join(digest.calls), limit=_TEXT_LIMIT),
            _cell(usd(digest.cost) if digest.cost else "", _RIGHT),
        ]
    )


def _gap(gap: Gap) -> str:
    style = _BRANCHES[min(gap.depth, _DEEPEST)]
    text = f"<i>… {counted(gap.entries, 'entry', 'entries')}</i>"
    return f'<tr><td colspan="3"></td><td colspan="3" style="{style}">{text}</td></tr>'


def _head(names: Iterable[str], *, left: int) -> str:
    return _row(
        f'<th style="{_LEFT if index < left else _RIGHT}">{name}</th>'
        for index, name in enumerate(names)
    )


def _row(cells: Iterable[str]) -> str:
    return f"<tr>{''.join(cells)}</tr>"


def _cell(text: str, style: str = _LEFT, *, limit: int = _NAME_LIMIT) -> str:
    return f'<td style="{style}">{_text(text, limit)}</td>'


def _text(text: str, limit: int) -> str:
    return escape(one_line(text, limit))
