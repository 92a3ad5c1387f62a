"""`tailrace init` without its command line: plan, check, write, report."""

import shlex
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

import msgspec

from shared.adapters.pipeline_yaml import FILE, parse
from shared.core.errors import UserError
from shared.core.pipeline_file import decode
from tailrace.initialise.draft import Draft, Progress, draft
from tailrace.initialise.history_files import write_history
from tailrace.initialise.plan import Request
from tailrace.initialise.readme import readme_text
from tailrace.initialise.yaml_text import pipeline_text

_IGNORED = "# data, made by `tailrace init`\n*.parquet\nrejected.csv\n"
_MARK = "# Made by `tailrace init` "
_OURS = (FILE, "README.md", ".gitignore", "records.parquet", "labels.parquet", "rejected.csv")


class Said(msgspec.Struct, frozen=True):
    """One guess: what, as which, why, and the flag that says otherwise."""

    what: str
    guess: str
    why: str
    flag: str


class InitReport(msgspec.Struct, frozen=True):
    """What was made. `rows` of the file are `records` or `rejected`; `files` is empty after a dry run."""

    pipeline: str
    folder: str
    rows: int
    records: int
    labelled: int
    rejected: int
    task: str
    label: str
    classes: tuple[str, ...]
    features: int
    guesses: tuple[Said, ...]
    lost: tuple[str, ...]
    warnings: tuple[str, ...]
    reasons: dict[str, int]
    files: tuple[str, ...]
    seconds: float


def initialise(ask: Request, folder: Path, progress: Progress, *, dry: bool = False, force: bool = False) -> InitReport:
    """Make a pipeline's folder from a CSV: whole, or not at all.

    Args:
        ask: the file, and what the user says of it.
        folder: where to write.
        progress: told in a line what is being done.
        dry: write nothing.
        force: replace the files of an earlier run; others in the folder stay.

    Raises:
        UserError: the folder is there already or has files that are not ours, the file cannot make a pipeline, or a
            flag does not fit it.
    """
    began = time.monotonic()
    if not dry and not force and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: is there already", remedy="name another --out, or --force to replace its files")
    if force and not dry:
        _check_ours(folder)
    made = draft(ask, progress)
    text = pipeline_text(made, folder.absolute())
    decode(parse(text, str(folder / FILE)), str(folder / FILE))
    files: tuple[str, ...] = ()
    if not dry:
        progress(f"writing {folder}")
        files = _write(made, text, folder)
    return _report(made, folder, files, time.monotonic() - began)


def _write(made: Draft, text: str, folder: Path) -> tuple[str, ...]:
    where = (
        made.ask.name
        if folder.name == made.ask.name and folder.parent.name == "pipelines"
        else shlex.quote(str(folder))
    )
    beside: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        (beside / FILE).write_text(text, encoding="utf-8")
        (beside / "README.md").write_text(readme_text(made, where), encoding="utf-8")
        (beside / ".gitignore").write_text(_IGNORED, encoding="utf-8")
        write_history(made, beside)
        beside.chmod(0o755)
        _put(beside, folder)
    except OSError as error:
        remedy = "name a folder to write in with --out"
        raise UserError(f"{folder}: {error.strerror or error}", remedy=remedy) from None
    finally:
        if beside is not None:
            shutil.rmtree(beside, ignore_errors=True)
    return tuple(name for name in _OURS if (folder / name).is_file())


def _check_ours(folder: Path) -> None:
    """Only what `init` has made may be replaced: `README.md` or `labels.parquet` may be anybody's."""
    there = [name for name in _OURS if (folder / name).exists()]
    if not there:
        return
    try:
        head = (folder / FILE).read_text(encoding="utf-8", errors="replace").splitlines()[:3]
    except OSError:
        head = []
    if not any(line.startswith(_MARK) for line in head):
        what = f"{folder}: has a {there[0]} that `tailrace init` did not make, so --force does not replace it"
        raise UserError(what, remedy="name another --out, or move the file away")


def _put(beside: Path, folder: Path) -> None:
    """A new folder appears whole; in one that is there our files are replaced, one by one."""
    if not folder.exists() or not any(folder.iterdir()):
        beside.replace(folder)
        return
    for name in _OURS:
        if (beside / name).is_file():
            (beside / name).replace(folder / name)
        else:
            (folder / name).unlink(missing_ok=True)


def _report(made: Draft, folder: Path, files: tuple[str, ...], seconds: float) -> InitReport:
    say = made.say
    return InitReport(
        pipeline=made.ask.name,
        folder=str(folder),
        rows=len(made.ids) + len(say.rejected),
        records=len(made.ids),
        labelled=made.target.labelled,
        rejected=len(say.rejected),
        task=made.target.task,
        label=made.roles.label,
        classes=made.target.classes,
        features=sum(bool(field.feature) for field in made.fields),
        guesses=tuple(Said(one.what, one.guess, one.why, one.flag) for one in say.guesses),
        lost=tuple(say.lost),
        warnings=tuple(say.warnings),
        reasons=dict(Counter(one.reason.partition(":")[0] for one in say.rejected).most_common()),
        files=files,
        seconds=round(seconds, 2),
    )
