"""The table for whoever is called at night: the same in the document as on the screen."""

import re
from pathlib import Path

from tailrace.monitor.runbook import ADVICE, PAGE

ROOT = Path(__file__).parents[3]


def test_the_document_says_what_the_screen_says() -> None:
    """Each trigger stands in the document once, with the words that `status` and the report print."""
    page, _, anchor = PAGE.partition("#")
    text = (ROOT / page).read_text(encoding="utf-8")
    table = text.partition("<!-- triggers:")[2]
    rows = re.findall(r"^\| `(\w+)` \| \*\*(.+?)\.\*\* (.+?) \| (.+) \|$", table, re.MULTILINE)

    assert {name: tuple(words) for name, *words in rows} == {name: tuple(told) for name, told in ADVICE.items()}
    assert f"\n## {anchor.replace('-', ' ').capitalize()}\n" in text
