"""`tailrace generate`: a seeded stream from a pipeline's own simulator, with its truth beside it."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from shared.core.errors import UserError

if TYPE_CHECKING:
    from services.ingest.replay.terms import Report
    from shared.adapters.pipeline_yaml import Pipeline
    from shared.runtime.settings import Settings
    from shared.simulation.facts import Facts
    from shared.simulation.scenario import Scenario
    from shared.simulation.world import Request, World
    from shared.simulation.writer import Written


class Generated(msgspec.Struct, frozen=True, kw_only=True):
    """The result as JSON: the facts of the stream, where it was written, and what was published."""

    pipeline: str
    facts: "Facts"
    goal: dict[str, float]
    files: dict[str, str]
    published: "Report | None" = None


def generate(
    pipeline: Annotated[str, typer.Argument(help="Name or folder of the pipeline.")],
    *,
    scenario: Annotated[str, typer.Option(help="What changes, and when; --list shows them.")] = "stationary",
    records: Annotated[int, typer.Option(min=1, help="How many records.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 0,
    to: Annotated[
        Path | None, typer.Option(help="A folder for all files, or the records' .csv, .jsonl or .parquet.")
    ] = None,
    to_kafka: Annotated[bool, typer.Option("--to-kafka", help="Publish it, as `tailrace replay` would.")] = False,
    rate: Annotated[float, typer.Option(min=0, help="With --to-kafka: records a second; 0: no limit.")] = 0.0,
    show: Annotated[bool, typer.Option("--list", help="Show the scenarios and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON value.")] = False,
) -> None:
    """Make a stream of a pipeline's records with a known truth: drift on schedule, late, missing and corrected labels.

    The truth (changes, and the best quality that anybody could reach) goes to files of its own, never into records.

    Example: tailrace generate churn --scenario concept --records 50000 --to /tmp/churn
    """
    from shared.adapters.pipeline_yaml import load_pipeline  # noqa: PLC0415 - keeps --help fast
    from shared.simulation.loading import load_simulator  # noqa: PLC0415 - the same
    from shared.simulation.scenario import SCENARIOS, scenario_named  # noqa: PLC0415 - the same
    from shared.simulation.world import Request  # noqa: PLC0415 - the same
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same

    loaded = load_pipeline(pipeline)
    simulate = load_simulator(loaded.folder)
    if show:
        emit(list(SCENARIOS.values()), as_json, lambda: _listed(SCENARIOS.values()))
        return
    if to is not None and to_kafka:
        raise UserError("both --to and --to-kafka are given", remedy="choose one")
    request = Request(scenario_named(scenario), records, seed)
    settings = _settings() if to_kafka else None
    _say(f"making {records:,} records of {loaded.spec.name}")
    world = simulate(request)
    written, found = _written(loaded, world, request, to, to_kafka=to_kafka)
    published = _published(loaded, written, settings, rate) if written is not None and settings is not None else None
    files = {name: str(getattr(written, name)) for name in written.__dataclass_fields__} if written is not None else {}
    goal = dict(loaded.spec.monitoring.goal)
    result = Generated(pipeline=loaded.spec.name, facts=found, goal=goal, files=files, published=published)
    emit(result, as_json, lambda: summary(result))
    if published is not None and published.interrupted:
        raise typer.Exit(130)


def summary(result: Generated) -> str:
    """What was made, for a person: size, changes, the best possible quality, where it is."""
    from tailrace.cli.replay_progress import moment  # noqa: PLC0415 - keeps --help fast
    from tailrace.cli.replay_progress import summary as sent  # noqa: PLC0415 - the same

    found = result.facts
    span = f"{moment(found.first_ms)} to {moment(found.last_ms)} UTC"
    head = f"{result.pipeline} · {found.scenario} ({found.text}) · seed {found.seed}"
    labels = f"{found.labels:,} labels ({found.corrected:,} of them corrections, {found.unlabelled:,} records get none)"
    lines = [head, f"{found.records:,} records of {found.entities:,} entities, {span}"]
    lines.append(f"{labels}, {found.features:,} feature updates")
    for change in found.changes:
        until = f" to {moment(change.end_ms)}" if change.end_ms > change.start_ms else ""
        lines.append(f"change: {change.kind} of {change.field} from {moment(change.start_ms)}{until}")
    lines.append(f"best possible: {_figures(found.best, result.goal)}")
    if found.changes:
        lines.append(f"before the first change: {_figures(found.best_before, result.goal)}")
    lines += [f"{name}: {path}" for name, path in result.files.items()]
    if result.published is not None:
        lines.append(f"published {sent(result.published)}")
    return "\n".join(lines)


def register(app: typer.Typer) -> None:
    """Add `generate`."""
    app.command()(generate)


def _figures(best: dict[str, float], goal: dict[str, float]) -> str:
    ordered = sorted(best, key=lambda name: name not in goal)
    return ", ".join(
        f"{name} {best[name]:.4g}" + (f" (goal {goal[name]:g})" if name in goal else "") for name in ordered
    )


def _listed(scenarios: Iterable["Scenario"]) -> str:
    return "\n".join(f"{one.name:<18} {one.text}" for one in scenarios)


def _written(
    loaded: "Pipeline", world: "World", request: "Request", to: Path | None, *, to_kafka: bool
) -> "tuple[Written | None, Facts]":
    from shared.simulation.facts import facts  # noqa: PLC0415 - keeps --help fast
    from shared.simulation.writer import write_beside, write_folder  # noqa: PLC0415 - the same
    from tailrace.stack.state import state_folder  # noqa: PLC0415 - the same

    name = f"{loaded.spec.name}-{request.scenario.name}-{request.records}-{request.seed}"
    target = state_folder() / "generated" / name if to_kafka else to
    if target is None:
        return None, facts(world, request)
    _say(f"writing {target}")
    try:
        if target.suffix and not target.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            return write_beside(world, request, target)
        target.mkdir(parents=True, exist_ok=True)
        _check_ours(target)
        return write_folder(world, request, target)
    except OSError as error:
        raise UserError(f"{target}: {error.strerror or error}", remedy="name another folder or file") from None


def _check_ours(folder: Path) -> None:
    """An earlier run is written over; records and labels without a truth beside them are somebody's own."""
    there = [name for name in ("records", "features", "labels") if (folder / f"{name}.parquet").exists()]
    if there and not (folder / "truth.json").exists():
        what = f"{folder}: has a {there[0]}.parquet that was not generated"
        raise UserError(what, remedy="name another folder, or move it away")


def _settings() -> "Settings":
    from tailrace.cli.common import cli_settings, need  # noqa: PLC0415 - keeps --help fast

    settings = cli_settings()
    need(settings, "kafka")
    return settings


def _published(loaded: "Pipeline", written: "Written", settings: "Settings", rate: float) -> "Report":
    from services.ingest.replay.main import Options  # noqa: PLC0415 - keeps --help fast
    from shared.adapters.history import HistoryFiles  # noqa: PLC0415 - the same
    from tailrace.cli.replay import play  # noqa: PLC0415 - the same
    from tailrace.stack.state import state_folder  # noqa: PLC0415 - the same

    files = HistoryFiles(written.records, written.features, written.labels)
    return play(loaded, files, settings, Options(state=state_folder(), rate=rate))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
