"""`tailrace rollout activate|revoke|status|plan|pause|resume|abort PIPELINE`: which version scores which record."""

import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from shared.core.pipeline import PipelineSpec
    from shared.runtime.settings import Settings

Where = Annotated[str, typer.Argument(help="Folder, pipeline.yaml or name.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object.")]
Wait = Annotated[float, typer.Option(help="Seconds to wait for workers.", min=0)]
rollout = typer.Typer(name="rollout", no_args_is_help=True, help="Bring model versions into force, or take them back.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(rollout)


def _open(pipeline: str) -> "tuple[PipelineSpec, Settings]":
    from shared.adapters.pipeline_yaml import load_pipeline  # noqa: PLC0415 - keeps --help fast
    from tailrace.cli.common import cli_settings, need  # noqa: PLC0415 - the same

    spec, settings = load_pipeline(pipeline).spec, cli_settings()
    need(settings, "kafka")
    return spec, settings


def _began(offsets: dict[str, int]) -> str:
    """Offsets by partition as `0@17 1@20`; a dash where it has not begun."""
    return " ".join(f"{part}@{offsets[part]}" for part in sorted(offsets, key=int)) or "-"


def _who(epoch: dict[str, Any]) -> str:
    """The versions of an epoch: `version 1`, or `version 1, canary 2 (5%)`."""
    if epoch["challenger"] is None:
        return f"version {epoch['version']}"
    share = f" ({epoch['share']:.0%})" if epoch["mode"] == "canary" else ""
    return f"version {epoch['version']}, {epoch['mode']} {epoch['challenger']}{share}"


def _say(line: str) -> None:
    print(line, file=sys.stderr)


@rollout.command()
def activate(
    pipeline: Where,
    version: Annotated[str, typer.Argument(help="As announced by `tailrace train`.")],
    *,
    reason: Annotated[str, typer.Option(help="Stands in the models topic.")] = "by hand",
    workers: Annotated[int, typer.Option(min=0, help="Live workers that must have loaded it.")] = 1,
    wait: Wait = 30.0,
    force: Annotated[bool, typer.Option("--force", help="Do not wait for workers or earlier rollouts.")] = False,
    mode: Annotated[
        Literal["champion", "canary", "shadow"], typer.Option(help="Alone, for a share of keys, or unseen beside it.")
    ] = "champion",
    share: Annotated[float, typer.Option(min=0, max=1, help="Of keys, in a canary.")] = 0.0,
    as_json: Json = False,
) -> None:
    """Bring a version into force between two records, at one agreed offset in each partition.

    Every live worker must have loaded it first; if one refuses, nothing changes (exit 1). Running it again completes
    what an interrupted run left undone.

    Example: `tailrace rollout activate flights 2`
    """
    from services.retrainer.rollout.wiring import rollout_control  # noqa: PLC0415 - keeps --help fast
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same

    with rollout_control(*_open(pipeline), _say) as control:
        active = control.activate(
            version, reason=reason, workers=workers, timeout=wait, force=force, mode=mode, share=share
        )
        late = control.settled(active.epoch, wait)
    result = {"epoch": active.epoch, "version": version, "digest": active.champion.digest, "unsettled": late}
    where = f"not yet committed in partitions {late}" if late else "in force in every partition"
    emit(result, as_json, lambda: f"version {version} is epoch {active.epoch}, {where}")


@rollout.command()
def revoke(
    pipeline: Where,
    version: Annotated[str, typer.Argument(help="The version to withdraw.")],
    *,
    reason: Annotated[str, typer.Option(help="Stands in the models topic.")] = "by hand",
    wait: Annotated[float, typer.Option(help="Seconds until workers that do not answer are fenced.", min=0)] = 3.0,
    as_json: Json = False,
) -> None:
    """Withdraw a version in every role: the one before acts from each worker's next batch on, whatever the backlog.

    Example: `tailrace rollout revoke flights 2 --reason "worse on EWR"`
    """
    from services.retrainer.rollout.wiring import rollout_control  # noqa: PLC0415 - keeps --help fast
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same

    with rollout_control(*_open(pipeline), _say) as control:
        fenced = control.revoke(version, reason=reason, timeout=wait)
    emit({"version": version, "fenced": fenced}, as_json, lambda: f"version {version} is withdrawn")


@rollout.command()
def status(pipeline: Where, *, as_json: Json = False) -> None:
    """Show every epoch: its version, its state, and where it began to act (partition@offset).

    Example: `tailrace rollout status flights`
    """
    from services.retrainer.rollout.wiring import rollout_picture  # noqa: PLC0415 - keeps --help fast
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same

    epochs = rollout_picture(*_open(pipeline))
    lines = [
        f"epoch {e['epoch']}  {_who(e)}  {e['state']:<9}  began at {_began(e['began'])}  {e['reason']}" for e in epochs
    ]
    emit(epochs, as_json, lambda: "\n".join(lines) or "no version was announced yet; run `tailrace train`")


@rollout.command()
def plan(pipeline: Where, *, as_json: Json = False) -> None:
    """Show where the declared plan stands: the challenger, its step, what it waits for, refusals.

    Example: `tailrace rollout plan flights`
    """
    from services.retrainer.rollout.hand import standing  # noqa: PLC0415 - keeps --help fast
    from services.retrainer.rollout.steps import terms_of  # noqa: PLC0415 - the same
    from services.retrainer.rollout.wiring import last_words, rollout_control  # noqa: PLC0415 - the same
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same

    spec, settings = _open(pipeline)
    with rollout_control(spec, settings) as control:
        now = standing(control.books.table(), control.books.state(), terms_of(spec))
    said = last_words(spec, settings)
    steps = " > ".join(f"[{one}]" if i + 1 == now.step else one for i, one in enumerate(now.steps))
    lines = [f"version {now.champion} is in force (epoch {now.epoch}); plan: {steps}"]
    lines += [f"version {now.trial} is on trial"] if now.trial else []
    lines += [f"waits for workers: {now.waiting}"] if now.waiting else []
    lines += [f"paused: {now.paused}"] if now.paused else []
    lines += [f"version {version}: {words}" for version, words in said.items()]
    emit({"plan": now, "said": said}, as_json, lambda: "\n".join(lines))


@rollout.command()
def pause(
    pipeline: Where, *, reason: Annotated[str, typer.Option(help="Shown as long as it lasts.")] = "by hand",
    as_json: Json = False,
) -> None:  # fmt: skip
    """Let the plan hold where it is; a challenger that does harm is taken back all the same.

    Example: `tailrace rollout pause flights --reason "end of quarter"`
    """
    from services.retrainer.rollout import hand  # noqa: PLC0415 - keeps --help fast
    from services.retrainer.rollout.wiring import rollout_control  # noqa: PLC0415 - the same
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same

    with rollout_control(*_open(pipeline), _say) as control:
        hand.pause(control, reason)
    emit({"paused": reason}, as_json, lambda: f"the plan holds: {reason}")


@rollout.command()
def resume(pipeline: Where, *, as_json: Json = False) -> None:
    """Let a plan that was paused go on.

    Example: `tailrace rollout resume flights`
    """
    from services.retrainer.rollout import hand  # noqa: PLC0415 - keeps --help fast
    from services.retrainer.rollout.wiring import rollout_control  # noqa: PLC0415 - the same
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same

    with rollout_control(*_open(pipeline), _say) as control:
        hand.resume(control)
    emit({"paused": ""}, as_json, lambda: "the plan goes on")


@rollout.command()
def abort(
    pipeline: Where, *, reason: Annotated[str, typer.Option(help="Stands in the models topic.")] = "by hand",
    as_json: Json = False,
) -> None:  # fmt: skip
    """Take the challenger under way back, whatever step it is in; it is not tried again unless it is promoted.

    Example: `tailrace rollout abort flights --reason "wrong data"`
    """
    from services.retrainer.rollout import hand  # noqa: PLC0415 - keeps --help fast
    from services.retrainer.rollout.wiring import rollout_control  # noqa: PLC0415 - the same
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same

    with rollout_control(*_open(pipeline), _say) as control:
        back = hand.abort(control, reason)
    told = {"version": back.version, "acting": back.acting, "fenced": list(back.fenced)}
    emit(told, as_json, lambda: f"version {back.version} is taken back; version {back.acting} acts")
