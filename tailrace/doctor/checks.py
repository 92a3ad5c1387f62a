"""The judgements of `tailrace doctor`, facts in, findings out: servers, stack and machine here, pipelines beside."""

from tailrace.doctor.facts import Facts, Finding, Server
from tailrace.doctor.pipeline_checks import examine_pipeline
from tailrace.stack.status import PartStatus

UP = "tailrace up --detach"
_CAUSES = {
    "stack": "it belongs to the embedded stack, which runs without it",
    "absent": "the embedded stack was started without it, and no other address is set",
    "killed": "the embedded stack was killed and is not running any more",
    "default": "no address is set, no embedded stack runs here, and the default address has no server",
    "set": "the address was set, and nothing answers there",
}


def examine(facts: Facts) -> list[Finding]:
    """Judge everything.

    Returns:
        A finding for each fault, and one for each check that is well, servers first.
    """
    found = [_kafka(facts), _redis(facts), _mlflow(facts), *_stack(facts), *_disks(facts), *_environment(facts)]
    return found + (examine_pipeline(facts, facts.pipeline) if facts.pipeline is not None else [])


def _kafka(facts: Facts) -> Finding:
    server = facts.kafka
    if not server.error:
        return Finding("kafka", ok=True, what=f"{server.address} answers")
    if server.denied:
        remedy = "tailrace settings  # then mend TAILRACE_KAFKA__SASL_*, __SSL_* or __SECURITY_PROTOCOL"
        return Finding("kafka", False, f"{server.address} lets us not in", server.error, remedy)
    return _down("kafka", "Kafka", server, facts, "TAILRACE_KAFKA__BOOTSTRAP_SERVERS=HOST:PORT")


def _redis(facts: Facts) -> Finding:
    server = facts.redis
    if facts.pipeline is not None and not facts.pipeline.spec.lookups:
        return Finding("redis", ok=True, what="not needed: this pipeline looks nothing up")
    if not server.error:
        return Finding("redis", ok=True, what=f"{server.address} answers")
    if server.denied:
        remedy = "tailrace settings  # then mend TAILRACE_REDIS__USERNAME, __PASSWORD_FILE or __CA_FILE"
        return Finding("redis", False, f"{server.address} lets us not in", server.error, remedy)
    found = _down("redis", "The feature cache", server, facts, "TAILRACE_REDIS__URL=redis://HOST:PORT/0")
    return Finding("redis", False, f"{found.what}: predictions are degraded", found.cause, found.next_command)


def _mlflow(facts: Facts) -> Finding:
    server = facts.mlflow
    if not server.error:
        return Finding("mlflow", ok=True, what=f"{server.address} answers")
    if server.denied:
        remedy = "tailrace settings  # then mend TAILRACE_MLFLOW__USERNAME or __PASSWORD_FILE"
        return Finding("mlflow", False, f"{server.address} lets us not in", server.error, remedy)
    found = _down("mlflow", "MLflow", server, facts, "TAILRACE_MLFLOW__URL=http://HOST:PORT")
    what = f"{found.what}: loaded models go on scoring, new ones can be neither registered nor fetched"
    return Finding("mlflow", False, what, found.cause, found.next_command)


def _down(check: str, name: str, server: Server, facts: Facts, setting: str) -> Finding:
    part = _part(facts, check)
    cause = _CAUSES[server.origin]
    if server.origin == "stack":
        command = f"tail -n 20 {part.log}" if part and part.log else f"tailrace down; {UP}"
        cause += f" ({part.state}{', ' + part.last_exit if part.last_exit else ''})" if part else ""
    else:
        command = {"set": f"export {setting}  # or start that server", "absent": f"tailrace down; {UP}"}.get(
            server.origin, UP
        )
    return Finding(check, False, f"{name} does not answer at {server.address}", f"{cause}: {server.error}", command)


def _part(facts: Facts, name: str) -> PartStatus | None:
    return next((part for part in facts.stack.parts if part.name == name), None) if facts.stack else None


def _stack(facts: Facts) -> list[Finding]:
    """Programs of the running stack that do not run; the servers are judged by whether they answer."""
    if facts.stack is None or facts.stack.pid is None:
        return []
    bad = [p for p in facts.stack.parts if not p.ok and p.name not in ("kafka", "redis", "mlflow")]
    return [
        Finding("stack", False, f"{p.name} is {p.state}", p.last_exit or "it did not start yet", f"tail -n 20 {p.log}")
        for p in bad
    ] or [Finding("stack", ok=True, what=f"all that was started on {facts.stack.state} runs")]


def _disks(facts: Facts) -> list[Finding]:
    low = [d for d in facts.disks if d.free_mb < d.wanted_mb]
    found = [
        Finding(
            "disk",
            False,
            f"{d.folder}: {d.free_mb:,} MB free",
            f"fewer than {d.wanted_mb:,} MB: the next write may fail",
            f"du -sh {d.folder}/*  # free some space, or set {d.setting} to a folder on another disk",
        )
        for d in low
    ]
    free = min((d.free_mb for d in facts.disks), default=0)
    return found or ([Finding("disk", ok=True, what=f"{free:,} MB free")] if facts.disks else [])


def _environment(facts: Facts) -> list[Finding]:
    found = [
        Finding("settings", False, warning.split(";", 1)[0], "a misspelt setting has no effect", "tailrace settings")
        for warning in facts.warnings
    ]
    return found or [Finding("settings", ok=True, what="every TAILRACE_ variable is known")]
