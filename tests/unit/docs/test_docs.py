"""The documents: links resolve, commands exist, and every name in a table is one that the code knows."""

import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer

from shared.core import reasons
from shared.core.metrics import METRICS
from shared.core.topics import PRESENT, TABLE, TOPIC_NAMES
from shared.runtime.settings import load_settings
from tailrace.cli.main import NOUNS

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("pipelines/*/README.md")])
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")


def named(page: Path) -> str:
    """A page's name in a report."""
    return str(page.relative_to(ROOT))


def prose(text: str) -> str:
    """A page without its code blocks."""
    return FENCE.sub("", text)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as the usual renderers make them."""
    heads = re.findall(r"^#+ (.+)$", prose(page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def first_column(page: str, marker: str) -> list[str]:
    """The code words in the first column of the table that follows a marker."""
    text = (ROOT / page).read_text(encoding="utf-8").partition(f"<!-- {marker}:")[2]
    rows = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert rows is not None, f"{page} has no table after the marker {marker}"
    return re.findall(r"^\| `([^`]+)`", rows[0], re.MULTILINE)


def command_lines() -> Iterator[tuple[str, str]]:
    """Page and command for each `tailrace ...` in code blocks and code words."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = (line for _, body in FENCE.findall(text) for line in body.splitlines())
        for line in [*blocks, *SPAN.findall(prose(text))]:
            for part in re.split(r"&&|\||;", line):
                command = re.sub(r"^(\w+=\S+ )*(\.venv/bin/)?", "", part.strip())
                if re.match(r"tailrace( |$)", command):
                    yield named(page), command.split(" > ")[0]


@pytest.fixture(scope="module")
def root() -> Any:
    """The real command line, as `tailrace` builds it, on an app of its own; typer brings a click of its own."""
    app = typer.Typer()
    app.callback()(lambda: None)
    for noun in NOUNS:
        import_module(f"tailrace.cli.{noun}").register(app)
    return typer.main.get_command(app)


def fault(root: Any, line: str) -> str:
    """What is wrong with a command line: an unknown command or option. Empty where nothing is."""
    words = shlex.split(line, comments=True)[1:]
    command = root
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        if words[0] not in command.commands:
            return f"no command {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h", "--debug"}
    unknown = [word for word in words if word.startswith("-") and word.partition("=")[0] not in known]
    return f"no option {', '.join(unknown)}" if unknown else ""


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_relative_link_resolves(page: Path) -> None:
    """A link leads to a file of the repository and, where it names one, to a heading of it."""
    dead = []
    for target in LINK.findall(prose(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            dead.append(target)
    assert dead == []


def test_a_wrong_command_would_be_noticed(root: Any) -> None:
    """The check itself: a command, a sub-command or an option that does not exist is a fault."""
    wrong = ("tailrace because it is so", "tailrace rollout undo flights", "tailrace up --forever")
    assert [fault(root, line) for line in wrong] == ["no command because", "no command undo", "no option --forever"]


def test_every_command_line_is_one_of_the_real_command_line(root: Any) -> None:
    """Each `tailrace ...` in a document names a command, and options that this command has."""
    lines = list(command_lines())
    assert len(lines) > 20, "no command lines were found"
    assert [(page, line, why) for page, line in lines if (why := fault(root, line))] == []


def test_every_make_target_exists() -> None:
    """Each `make X` in a code block or code word is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        code = [*(body for _, body in FENCE.findall(text)), *SPAN.findall(prose(text))]
        used = {name for part in code for name in re.findall(r"^make ([a-z-]+)", part, re.MULTILINE)}
        assert used - targets == set(), named(page)


def test_the_table_of_reasons_is_complete() -> None:
    """The reasons in the document are those of the code, each once."""
    assert sorted(first_column("docs/delivery.md", "reasons")) == sorted(reasons.ALL)


def test_the_table_of_topics_has_what_the_code_creates_and_somebody_uses() -> None:
    """Every topic in the table exists, and every one that is created and written by an existing part is in it."""
    told = first_column("docs/architecture.md", "topics")
    created = [name for name in TOPIC_NAMES if TABLE[name].introduced in PRESENT]
    assert sorted(told) == sorted(created)


def test_every_metric_that_is_named_exists() -> None:
    """A `tailrace_...` word anywhere in the documents is a metric of the table."""
    assert set(first_column("docs/operations.md", "metrics")) <= set(METRICS)
    for page in PAGES:
        words = set(re.findall(r"`(tailrace_[a-z_]+)", page.read_text(encoding="utf-8")))
        assert words - set(METRICS) == set(), named(page)


def test_every_setting_that_is_named_exists() -> None:
    """A full `TAILRACE_...` name in the documents is a variable that something reads."""
    for page in PAGES:
        names = set(re.findall(r"\bTAILRACE_[A-Z0-9_]*[A-Z0-9]\b(?!_|<)", page.read_text(encoding="utf-8")))
        sections = {name: "1" for name in names if "__" in name}
        unknown = [warning.split()[0] for warning in _warnings(sections)]
        assert unknown == [], named(page)


def _warnings(environ: dict[str, str]) -> list[str]:
    """The unknown ones among these variables; each alone, since a value may not fit its type."""
    found: list[str] = []
    for name in sorted(environ):
        value = {"TAILRACE_KAFKA__SECURITY_PROTOCOL": "ssl", "TAILRACE_KAFKA__GROUP_PROTOCOL": "classic"}.get(name, "1")
        value = {"TAILRACE_LOG__FORMAT": "json", "TAILRACE_LOG__LEVEL": "info"}.get(name, value)
        found += load_settings({name: value})[1]
    return found


def test_decisions_are_numbered_without_a_gap_and_listed() -> None:
    """ADRs are 1, 2, 3 ... by file name and title, and each stands in the list."""
    files = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
    assert [int(file.name[:4]) for file in files] == list(range(1, len(files) + 1))
    titles = [file.read_text(encoding="utf-8").splitlines()[0] for file in files]
    assert [int(title.split()[1].rstrip(".")) for title in titles] == list(range(1, len(files) + 1))
    listed = LINK.findall((ROOT / "docs" / "adr" / "README.md").read_text(encoding="utf-8"))
    assert listed == [file.name for file in files]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_paths_of_code_that_are_named_exist(page: Path) -> None:
    """A path like `shared/core/x.py` in a document is a file, or a folder with files, which git would keep."""
    text = prose(page.read_text(encoding="utf-8"))
    paths = re.findall(r"`((?:shared|services|tailrace|tests|pipelines|benchmarks|compose|helm)/[\w./-]*)`", text)
    assert [path for path in paths if not ((ROOT / path).is_file() or any((ROOT / path).glob("**/*.*")))] == []
