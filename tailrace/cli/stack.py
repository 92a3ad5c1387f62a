"""`tailrace up`, `down` and `status`: the servers and services of one machine."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tailrace.stack.endpoints import Endpoints
    from tailrace.stack.status import PartStatus

_State = Annotated[
    Path | None, typer.Option(help="Folder of data and logs.", show_default="$TAILRACE_STATE, else ./.tailrace")
]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def up(
    *,
    services: Annotated[
        str, typer.Option(help="What to start: kafka, redis, mlflow, or a service of a pipeline (scorer:PIPELINE).")
    ] = "kafka,redis,mlflow",
    pipelines: Annotated[str, typer.Option(help="Pipelines to run side by side: every service of each.")] = "",
    train: Annotated[bool, typer.Option("--train", help="Train pipelines that have no model yet.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Scorer processes a pipeline.")] = 2,
    detach: Annotated[bool, typer.Option("--detach", help="Return once everything is up; see `down`.")] = False,
    kafka_port: Annotated[int | None, typer.Option(help="Port of Kafka.", show_default="a free one")] = None,
    redis_port: Annotated[int | None, typer.Option(help="Port of Redis.", show_default="a free one")] = None,
    mlflow_port: Annotated[int | None, typer.Option(help="Port of MLflow.", show_default="a free one")] = None,
    redis_maxmemory_mb: Annotated[int, typer.Option(min=1, help="Memory bound of Redis, MB.")] = 256,
    state: _State = None,
) -> None:
    """Start Kafka, Redis and MLflow on this machine, and services of pipelines beside them.

    Prints where they are and how other programs find them, and runs until Ctrl-C or `tailrace down`.
    A server whose address is set (TAILRACE_KAFKA__BOOTSTRAP_SERVERS, TAILRACE_REDIS__URL, TAILRACE_MLFLOW__URL)
    is used as it is.

    A mistake in any pipeline's file ends it before anything starts; afterwards one that fails leaves the others alone.

    Example: tailrace up --pipelines obesity,churn,taxi,heavy_equipment --train --detach
    """
    from tailrace.stack import serve  # noqa: PLC0415 - keeps --help fast
    from tailrace.stack.services import SERVICE_PROGRAMS  # noqa: PLC0415 - the same
    from tailrace.stack.state import state_folder  # noqa: PLC0415 - the same

    asked = _names(services) + [f"{one}:{name}" for name in _names(pipelines) for one in SERVICE_PROGRAMS]
    ports = {"kafka": kafka_port, "redis": redis_port, "mlflow": mlflow_port}
    request = serve.UpRequest(
        state=str((state or state_folder()).absolute()),
        services=list(dict.fromkeys(asked)),
        workers=workers,
        ports={part: port for part, port in ports.items() if port is not None},
        redis_maxmemory_mb=redis_maxmemory_mb,
        train=train,
    )
    if detach:
        from tailrace.stack.endpoints import Endpoints  # noqa: PLC0415 - keeps --help fast

        _announce(Endpoints(**serve.detach(request).endpoints), request.state, "until `tailrace down`")
    else:
        serve.serve(request, lambda stack: _announce(stack.endpoints, request.state, "until Ctrl-C or `tailrace down`"))


def down(*, state: _State = None) -> None:
    """Stop what `tailrace up` started; data and logs stay.

    Example: tailrace down
    """
    from tailrace.stack.state import StateFolder, state_folder  # noqa: PLC0415 - keeps --help fast
    from tailrace.stack.status import take_down  # noqa: PLC0415 - the same

    folder = StateFolder(state or state_folder())
    print("stopped" if take_down(folder) else f"nothing runs on {folder.path}")


def status(*, as_json: _Json = False, state: _State = None) -> None:
    """Show what runs, by pipeline: address, process, memory, restarts, log; exit code 1 if something is down.

    Example: tailrace status --json
    """
    import msgspec  # noqa: PLC0415 - keeps --help fast

    from tailrace.stack.state import StateFolder, state_folder  # noqa: PLC0415 - the same
    from tailrace.stack.status import by_pipeline, look  # noqa: PLC0415 - the same

    seen = look(StateFolder((state or state_folder()).absolute()), time.time())
    if as_json:
        print(msgspec.json.encode(seen).decode())
    elif seen.pid is None:
        print(f"nothing runs on {seen.state} (start it: tailrace up)")
    else:
        width = max(len(part.name) for part in seen.parts) if seen.parts else 0
        for name, parts in by_pipeline(seen).items():
            print(f"{name or 'servers'}  {_memory(parts)}")
            for part in parts:
                print(f"  {_row(part, width)}")
        print(f"{seen.state}  pid {seen.pid}  up {_span(seen.uptime_s)}  {seen.rss_mb:.0f} MB in all")
    raise typer.Exit(0 if seen.ok else 1)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(up)
    app.command()(down)
    app.command()(status)


def _announce(endpoints: "Endpoints", state: str, until: str) -> None:
    from tailrace.stack.serve import environment_lines  # noqa: PLC0415 - keeps --help fast
    from tailrace.stack.state import StateFolder  # noqa: PLC0415 - the same
    from tailrace.stack.status import by_pipeline, look  # noqa: PLC0415 - the same

    print("\n".join(environment_lines(endpoints)))
    sys.stdout.flush()
    groups = by_pipeline(look(StateFolder(Path(state)), time.time()))
    used = " · ".join(f"{name or 'servers'} {_memory(parts)}" for name, parts in groups.items())
    sys.stderr.write(f"memory: {used}\n")
    sys.stderr.write(f"data and logs in {state}; running {until}\n")


def _memory(parts: "list[PartStatus]") -> str:
    return f"{sum(part.rss_mb or 0.0 for part in parts):,.0f} MB"


def _row(part: "PartStatus", width: int) -> str:
    mark = "ok" if part.ok else "!!"
    pid = f"pid {part.pid}" if part.pid is not None else ""
    memory = f"{part.rss_mb:.0f} MB" if part.rss_mb is not None else ""
    restarts = f"{part.restarts} restarts, last {part.last_exit}" if part.last_exit else ""
    if part.state == "left out":
        restarts = part.last_exit
    return (
        f"{mark} {part.name:<{width}} {part.state:<9} {part.address:<32} {pid:<12} {_span(part.uptime_s):>7} "
        f"{memory:>7}  {restarts}{'  ' if restarts else ''}{part.log}"
    ).rstrip()


def _span(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 120:  # noqa: PLR2004 - below, seconds read better
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.0f} h"  # noqa: PLR2004 - the same


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
