"""What is predicted: the task, its classes, the positive one, and whether a number is learned by its logarithm."""

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.core.errors import UserError
from tailrace.initialise.plan import Findings, Request, Sheet, Target
from tailrace.initialise.types import Typed, as_texts

MIN_ROWS, MIN_PER_CLASS = 50, 5  # of the training gate
MAX_CLASSES = 50
_SHOWN = 8
_FEW_NUMBERS = 10  # so many different whole numbers are classes
_POSITIVE = (
    "yes",
    "y",
    "true",
    "t",
    "1",
    "1.0",
    "positive",
    "late",
    "churn",
    "churned",
    "fraud",
    "default",
    "malignant",
    "failed",
)


def choose_target(sheet: Sheet, ask: Request, say: Findings, label: str) -> Target:
    """The task and each row's label.

    Raises:
        UserError: too few labelled rows or classes to train on, or the flags do not fit the column.
    """
    if not label:
        if len(sheet.keep) < MIN_ROWS:
            what = f"{sheet.source.path}: {len(sheet.keep)} rows, training needs {MIN_ROWS}"
            raise UserError(what, remedy="give more past records")
        return Target("regression", np.full(len(sheet.keep), None, dtype=object))
    typed = sheet.columns[label]
    task, why = _task(typed, ask.task)
    made = _numbers(sheet, typed, say) if task == "regression" else _classes(sheet, typed, ask, say)
    if ask.task in ("binary", "multiclass") and ask.task != made.task:
        raise UserError(
            f"--task {ask.task}: the label {label} has {len(made.classes)} classes", remedy="leave it out, or mend it"
        )
    say.guess("task", _shown(made), why, "--task")
    if made.task == "binary":
        why = "as asked" if ask.positive else "by its word" if made.positive.lower() in _POSITIVE else "the rarer one"
        say.guess("positive class", made.positive, why, "--positive CLASS")
    if made.labelled < MIN_ROWS:
        raise UserError(
            f"{sheet.source.path}: {made.labelled} rows have a label in {label}, training needs {MIN_ROWS}",
            remedy="give more past records, another --label, or --no-label",
        )
    return made


def _shown(made: Target) -> str:
    names, more = made.classes[:_SHOWN], " ..." if len(made.classes) > _SHOWN else ""
    return f"{made.task} of {', '.join(names)}{more}" if names else made.task


def _task(typed: Typed, asked: str) -> tuple[str, str]:
    numeric = typed.kind in ("integer", "number")
    if asked:
        if asked == "regression" and not numeric:
            raise UserError(
                f"--task regression: the label {typed.name} holds no numbers ({typed.why})", remedy="name another task"
            )
        return asked, "as asked"
    if typed.kind == "time":
        raise UserError(f"--label {typed.name}: holds dates", remedy="name a column of classes or numbers")
    if numeric and (typed.distinct > _FEW_NUMBERS or not _all_whole(typed)):
        return "regression", f"{typed.distinct:,} different numbers"
    if typed.distinct > MAX_CLASSES:
        raise UserError(
            f"--label {typed.name}: {typed.distinct:,} different texts are no classes (at most {MAX_CLASSES}) and no "
            "numbers",
            remedy="name another column",
        )
    return "classes", f"{typed.distinct} different {'numbers' if numeric else 'texts'}"


def _all_whole(typed: Typed) -> bool:
    there = typed.values[~typed.missing]
    return bool((there == np.round(there)).all())


def _numbers(sheet: Sheet, typed: Typed, say: Findings) -> Target:
    values = sheet.values(typed.name)
    there = values[~np.isnan(values)]
    if not len(there) or (there == there[0]).all():
        raise UserError(f"--label {typed.name}: every row has the same value", remedy="name another column")
    log = _skewed(there)
    if log:
        why = f"positive and skewed ({_skew(there):.1f}; {_skew(np.log1p(there)):.1f} of its logarithm)"
        say.guess("target", "learned as log1p", why, "model.target in pipeline.yaml")
    y = np.array(
        [None if gone else value for value, gone in zip(values.tolist(), np.isnan(values).tolist(), strict=True)],
        dtype=object,
    )
    return Target("regression", y, log=log, labelled=len(there))


def _skew(values: NDArray[np.float64]) -> float:
    spread = float(values.std())
    return float(((values - values.mean()) ** 3).mean() / spread**3) if spread else 0.0


def _skewed(values: NDArray[np.float64]) -> bool:
    return float(values.min()) >= 0 and _skew(values) > 1 and abs(_skew(np.log1p(values))) < _skew(values) / 2


def _classes(sheet: Sheet, typed: Typed, ask: Request, say: Findings) -> Target:
    texts = as_texts(typed)[sheet.keep]
    same = _same(texts.tolist(), sheet.values(typed.name), sheet.missing(typed.name), typed)
    spelt = _spelling(Counter(text for text in texts.tolist() if text is not None), same, say)
    y = np.array([None if text is None else spelt[text] for text in texts.tolist()], dtype=object)
    counts = Counter(text for text in y.tolist() if text is not None)
    rare = sorted(name for name, count in counts.items() if count < MIN_PER_CLASS)
    if rare:
        told = ", ".join(f"{name} ({counts[name]})" for name in rare[:10])
        say.warnings.append(
            f"classes of fewer than {MIN_PER_CLASS} rows cannot be trained: {told}; their rows stay, without a label"
        )
        y = np.array([None if text in set(rare) else text for text in y.tolist()], dtype=object)
    classes = _ordered([name for name in counts if name not in rare], counts)
    if len(classes) < 2:  # noqa: PLR2004 - one class is no choice
        raise UserError(
            f"--label {typed.name}: {len(classes)} classes have {MIN_PER_CLASS} rows or more, training needs 2",
            remedy="name another column, or --no-label",
        )
    labelled = sum(counts[name] for name in classes)
    if len(classes) > 2:  # noqa: PLR2004 - more than two
        return Target("multiclass", y, classes, labelled=labelled)
    positive = _positive(classes, counts, ask.positive)
    ordered = (*(name for name in classes if name != positive), positive)
    return Target("binary", y, ordered, positive, labelled=labelled)


def _same(texts: list[str | None], values: NDArray[Any], missing: NDArray[np.bool_], typed: Typed) -> dict[str, str]:
    """What each text stands for: 1 and 1.0 are one number, yes and true one answer, and words are so in any case."""
    read = typed.kind in ("boolean", "integer", "number")
    rows = zip(texts, values.tolist(), missing.tolist(), strict=True)
    return {
        text: repr(float(value)) if read and not gone else text.lower()
        for text, value, gone in rows
        if text is not None
    }


def _spelling(counts: Counter[str], same: dict[str, str], say: Findings) -> dict[str, str]:
    """Classes that stand for the same are one, in its most frequent spelling."""
    best: dict[str, str] = {}
    for text, _ in counts.most_common():
        best.setdefault(same[text], text)
    spelt = {text: best[same[text]] for text in counts}
    merged = sorted(text for text in counts if spelt[text] != text)
    if merged:
        say.warnings.append(f"label: {', '.join(merged)} taken as {', '.join(spelt[text] for text in merged)}")
    return spelt


def _ordered(names: list[str], counts: Counter[str]) -> tuple[str, ...]:
    try:
        return tuple(sorted(names, key=float))
    except ValueError:
        return tuple(sorted(names, key=lambda name: (name.lower(), -counts[name])))


def _positive(classes: tuple[str, ...], counts: Counter[str], asked: str) -> str:
    if asked:
        found = [name for name in classes if name.lower() == asked.lower()]
        if not found:
            raise UserError(f"--positive {asked}: is no class", remedy=f"use {' or '.join(classes)}")
        return found[0]
    words = [name for name in classes if name.lower() in _POSITIVE]
    return words[0] if len(words) == 1 else min(classes, key=lambda name: counts[name])
