"""How much better a shuffled split would have looked: what a drifting world hides from those who shuffle."""

import numpy as np

from services.retrainer.folds import Split, by_time, horizon_ms
from services.retrainer.judge import answered, fitted_output
from services.retrainer.scores import figures
from services.retrainer.tables import Table
from shared.core.answering import Post
from shared.core.pipeline import PipelineSpec


def optimism(spec: PipelineSpec, data: Table) -> tuple[dict[str, float], dict[str, float]]:
    """The declared model on two splits of the same sizes, which differ in nothing but time.

    Once it is fitted on what was known before the holdout, as a live model is; once on as many records of any time,
    and judged on as many others. In the second, each judged record has neighbours of its own days among the fitted.

    Args:
        spec: the pipeline; calibration and intervals do not count.
        data: records in order of time; `tables.table(spec, codec, data, np.arange(len(data)))` has all of a dataset.

    Returns:
        The figures of the chronological split, and of the shuffled one.

    Raises:
        DataRefused: nothing is left on one side.
    """
    early, late = by_time(data.times, spec.history.holdout, horizon_ms(spec))
    order = np.random.default_rng(spec.model.seed).permutation(len(data))
    shuffled = np.sort(order[: len(early)]), np.sort(order[len(early) : len(early) + len(late)])
    return _figures(spec, data, (early, late)), _figures(spec, data, shuffled)


def _figures(spec: PipelineSpec, data: Table, split: Split) -> dict[str, float]:
    fitted, judged = (data.rows(places) for places in split)
    raw = fitted_output(spec, fitted, judged)
    return figures(spec, judged.y, answered(spec, Post(target=spec.model.target), raw))
