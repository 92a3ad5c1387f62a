"""A page as text: every word from outside is escaped where it enters, and nothing is loaded from anywhere."""

from collections.abc import Iterable, Sequence
from html import escape

from tailrace.monitor.style import STYLE
from tailrace.monitor.words import SIGNS, plain

# Nothing but what stands in the page: no script, no font, no picture from elsewhere.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


class Safe(str):
    """Text of a page that was made here and is escaped already."""

    __slots__ = ()


def page(title: str, body: Iterable[str]) -> str:
    """A whole page."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY, quote=True)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{said(title)}</title>\n<style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def said(text: str) -> str:
    """A text from anywhere, harmless in a page."""
    return escape(plain(text, 600), quote=True)


def state(of: str) -> Safe:
    """A state as sign and word, so that its colour need not be seen."""
    return Safe(f'<span class="state {said(of)}">{escape(SIGNS.get(of, "?"))} {said(of)}</span>')


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph."""
    return f'<p class="{said(kind)}">{said(text)}</p>' if kind else f"<p>{said(text)}</p>"


def figure(title: str, drawn: str, caption: str = "", kind: str = "") -> str:
    """A picture with its title above it and what there is to know below."""
    return (
        f'<figure class="{said(kind)}"><h3>{said(title)}</h3>{drawn}<figcaption>{said(caption)}</figcaption></figure>'
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1, caption: str = "") -> str:
    """A table of escaped texts; the first `words` columns are words, the others numbers."""
    body = "\n".join(f"<tr>{''.join(_cell('td', cell, j < words) for j, cell in enumerate(row))}</tr>" for row in rows)
    top = "".join(_cell("th", cell, j < words) for j, cell in enumerate(head))
    about = f"<caption>{said(caption)}</caption>" if caption else ""
    return f'<div class="wide"><table>{about}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(kind: str, text: str, word: bool) -> str:  # noqa: FBT001 - private, one caller
    inside = text if isinstance(text, Safe) else said(text)
    return f'<{kind} class="w">{inside}</{kind}>' if word else f"<{kind}>{inside}</{kind}>"
