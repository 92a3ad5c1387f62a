"""`tailrace train`: from a pipeline's history to a registered, announced version."""

import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from services.retrainer.main import TrainReport

_FIRST = ("auc", "macro_f1", "rmse", "accuracy")
_SHOWN = {"auc": "AUC", "macro_f1": "macro F1", "rmse": "RMSE", "accuracy": "accuracy"}


def register(app: typer.Typer) -> None:
    """Add `tailrace train`."""
    app.command()(train)


def train(
    pipeline: Annotated[str, typer.Argument(help="Folder, pipeline.yaml or name.")],
    *,
    until: Annotated[str, typer.Option(help="Learn only from before this event time: a date (UTC) or RFC 3339.")] = "",
    out: Annotated[Path | None, typer.Option(help="Only write the signed bundle here; no MLflow, no Kafka.")] = None,
    search: Annotated[
        bool, typer.Option("--search", help="Try every combination of model.search first, and train with the best.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Train a pipeline's model on its history, register it in MLflow and announce it to the scorers.

    The first version of a pipeline scores at once; a later one waits for `tailrace rollout activate`.

    Example: tailrace train flights --until 2013-02-01
    """
    from shared.adapters.pipeline_yaml import load_pipeline  # noqa: PLC0415 - keeps --help fast
    from tailrace.cli.common import cli_settings, emit, need  # noqa: PLC0415 - the same
    from tailrace.cli.train_search import SearchLine  # noqa: PLC0415 - the same

    say = _Progress()
    loaded, settings = load_pipeline(pipeline), cli_settings()
    if out is None:
        need(settings, "kafka", "mlflow")
    # Seconds of imports: after whatever can be wrong has been looked at.
    from services.retrainer.announce import announcing  # noqa: PLC0415 - keeps --help fast
    from services.retrainer.dataset import Files, bound  # noqa: PLC0415 - the same
    from services.retrainer.main import train as run  # noqa: PLC0415 - the same
    from shared.adapters.history import history_files  # noqa: PLC0415 - the same
    from shared.runtime.clock import SystemClock  # noqa: PLC0415 - the same
    from tailrace.stack.cache import cache_folder  # noqa: PLC0415 - the same
    from tailrace.stack.state import state_folder  # noqa: PLC0415 - the same

    end = bound(until, "--until")
    opened = announcing(loaded.spec, settings, SystemClock()) if out is None else nullcontext(None)
    with opened as announce:
        found = history_files(loaded, cache_folder(), say=say)
        files = Files(found.records, found.features, found.labels)
        with SearchLine(sys.stderr) as line:
            report = run(
                *(loaded, settings, say), files=files, until=end, out=out, announce=announce, state=state_folder(),
                watch=line.show if search else None,
            )  # fmt: skip
    for warning in report.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    emit(report, as_json, lambda: summary(report))


def summary(report: "TrainReport") -> str:
    """One line as a person wants it: how many, what, how good, how fast, which version; then goals and the search."""
    name = next((name for name in _FIRST if name in report.metrics), "")
    figure = ""
    if name:
        figure = f"{_SHOWN[name]} {report.metrics[name]:.3g} (trivial {report.metrics['baseline_' + name]:.3g})"
    speed = f"runtime {report.runtime}" + ("" if report.runtime == "sklearn" else f" ({report.gain:.1f}x)")
    version = f"version {report.ref.version}" if report.ref.version != "local" else f"bundle {report.ref.uri}"
    epoch = f"epoch {report.epoch} {report.state}" if report.epoch else ""
    parts = (f"{report.records:,} {report.pipeline}", report.estimator, figure, speed, version, epoch)
    first = " · ".join(part for part in parts if part)
    return "\n".join([first, *_interval(report), *_goals(report), *_searched(report)])


def _interval(report: "TrainReport") -> list[str]:
    if "coverage" not in report.metrics:
        return []
    width = report.metrics["interval_width"]
    return [f"intervals hold {report.metrics['coverage']:.1%} of the held-out truths, {width:.4g} wide on average"]


def _goals(report: "TrainReport") -> list[str]:
    """Linear, goal and ours, a line a metric."""
    from shared.core.quality import is_better  # noqa: PLC0415 - keeps --help fast

    lines = []
    for name, goal in report.goals.items():
        linear, ours = report.metrics.get(f"linear_{name}"), report.metrics.get(name)
        if ours is None:
            verdict = "not measured"
        else:
            verdict = "reached" if ours == goal or is_better(name, ours, goal) else "missed"
        told = [f"{word} {'-' if figure is None else f'{figure:.4g}'}" for word, figure in (
            ("linear", linear), ("goal", goal), ("ours", ours),
        )]  # fmt: skip
        lines.append(f"{name}: {', '.join(told)}: {verdict}")
    return lines


def _searched(report: "TrainReport") -> list[str]:
    found = report.searched
    if found is None:
        return []
    best = ", ".join(f"{name}={value}" for name, value in found.best.items())
    count = f"{len(found.table):,} combinations, {found.fits:,} fits in {found.seconds:.0f} s"
    judged = f"{found.metric} {found.mean:.4g} +- {found.std:.2g} over {found.folds} folds of {found.records:,} records"
    return [f"search: {best} ({judged}; {count})"]


class _Progress:
    """Lines on standard error, each with the seconds since the start."""

    def __init__(self) -> None:
        self._begin = time.monotonic()

    def __call__(self, text: str) -> None:
        print(f"{time.monotonic() - self._begin:6.1f} s  {text}", file=sys.stderr, flush=True)
