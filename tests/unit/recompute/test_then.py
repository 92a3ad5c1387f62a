"""Figures as known at some offset: recomputed from predictions and labels, beside the analyst's from scorecards."""

import math
from random import Random

import pytest

from services.monitor.analyst.panes import panes
from services.monitor.analyst.quality import quality
from shared.testing.store import MemoryStore
from tailrace.recompute.entries import Reader
from tailrace.recompute.fold import fold
from tailrace.recompute.terms import terms_of, times_of
from tailrace.recompute.then import Then
from tests.support import journals
from tests.support.journals import as_bytes, fold_all, make

TASKS = ("binary", "multiclass", "regression")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("seed", range(3))
def test_the_analyst_says_the_same_of_any_prefix(task: str, seed: int) -> None:
    """Every version, role and window, at every tenth of the journal: equal counts and figures, unknown if unknown."""
    spec, dice = make(task), Random(seed)
    values = as_bytes(journals.journal(spec, dice, 400))
    then = Then(times_of(spec), terms_of(spec))
    told, _ = fold(list(enumerate(values)), times_of(spec), terms_of(spec), Reader(spec))
    then.keep(0, told)
    compared = 0
    for end in range(len(values) // 10, len(values) + 1, len(values) // 10):
        _, published = fold_all(spec, values[:end], MemoryStore(), dice)
        for pane in panes(published.cards.values()):
            wanted = quality([pane], spec.task, len(spec.labels.classes), spec.monitoring.within)
            found = then.figures(pane.version, pane.window, pane.until, {0: end}, shadow=pane.shadow)
            assert (wanted.observed, wanted.labelled) == (found.observed, found.labelled)
            for name, figure in wanted.figures.items():
                mine = found.values[name]
                assert (figure.value is None) == (mine is None), (name, figure, mine)
                assert figure.value is None or math.isclose(figure.value, mine or 0.0, rel_tol=1e-9, abs_tol=1e-9)
                compared += mine is not None
    assert compared > 200
