"""What a monitor's proof came to, as data and in words."""

from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version

import msgspec

from shared.adapters.kafka.admin import KafkaAdmin
from tailrace.proof.checks import Finding
from tailrace.proof.delivery import RULE_OF_THREE
from tailrace.proof.monitor_checks import Published, total
from tailrace.proof.monitor_nemesis import MonitorNemesis
from tailrace.proof.monitor_plan import Request
from tailrace.proof.scene import Scene
from tailrace.proof.verdict import Broker
from tailrace.proof.witness import Witness
from tailrace.recompute.main import Report

LIBRARIES = ("confluent-kafka", "faust-streaming", "rocksdict")

NAMES = {
    "I5": "aborted reads",
    "I13": "not as recomputed",
    "accounts": "not as sent",
    "outcomes": "lost or doubled",
    "closed": "told after closed",
    "letters": "refused wrongly",
    "figures": "analyst's figures",
    "requests": "retrain requests",
    "I17": "shutdown",
}
SOURCES = {"disk": "its own disk", "checkpoint": "a checkpoint", "journal": "the journal"}


class Recovery(msgspec.Struct, frozen=True):
    """One observer that comes to know all partitions, from nothing running to all of the journal folded again.

    `seconds` are from the start of the process, `rebuilding` those of reading (of all partitions), `records` what was
    read again, `known` how many records were remembered.
    """

    source: str
    seconds: float
    rebuilding: float
    records: int
    partitions: int
    known: int


class Analyst(msgspec.Struct, frozen=True):
    """What was compared of the analyst: figures, windows as known then, requests."""

    figures: int
    windows: int
    requests: int


class MonitorVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to.

    `violations` counts by check, `compared` what was held against the recomputation, `entries` by what they were and
    became (labels by status), `faults` those that struck, `steps` where kills of observers came. `bound95` is the rate
    of kills with a violation that is excluded with 95 % confidence, None where one was found. `analyst` is None where
    there was none to try.
    """

    ok: bool
    n: int
    seed: int
    planted: str
    violations: dict[str, int]
    bound95: float | None
    faults: dict[str, int]
    steps: dict[str, int]
    transactions: dict[str, int]
    entries: dict[str, int]
    compared: dict[str, int]
    rebuilt: dict[str, int]
    recovery: list[Recovery]
    analyst: Analyst | None
    drained_s: float
    broker: Broker
    versions: dict[str, str]
    examples: list[str]
    wall_s: float


def sum_up(
    scene: Scene, request: Request, findings: Mapping[str, Finding], report: Report, found: Published,
    nemesis: MonitorNemesis, sent: dict[str, int], rebuilt: Mapping[str, int], recovery: list[Recovery],
    analyst: Analyst | None, drained: float, wall: float,
) -> MonitorVerdict:  # fmt: skip
    """Put everything together; arguments as the fields of a verdict."""
    violations = {name: finding.count for name, finding in findings.items()}
    ok = not any(violations.values())
    struck = nemesis.struck
    kills = sum(struck.get(kind, 0) for kind in ("kill", "disk", "router", "analyst"))
    entries = {name: n for name, n in sorted(total(found).items(), key=lambda one: -one[1]) if n}
    return MonitorVerdict(
        ok=ok,
        n=request.records,
        seed=request.seed,
        planted=request.planted,
        violations=violations,
        bound95=RULE_OF_THREE / kills if ok and kills else None,
        faults=dict(sorted(struck.items())),
        steps=dict(sorted(nemesis.steps.items())),
        transactions=sent,
        entries=entries | {"refused": found.letters.total()},
        compared=report.compared,
        rebuilt=dict(Counter(rebuilt).most_common()),
        recovery=recovery,
        analyst=analyst,
        drained_s=round(drained, 1),
        broker=Broker(Witness(scene.stack, scene.name).version, KafkaAdmin(scene.conf).broker().cluster_id),
        versions={name: version(name) for name in LIBRARIES},
        examples=[f"{name}: {text}" for name, finding in findings.items() for text in finding.examples],
        wall_s=round(wall, 1),
    )


def words(v: MonitorVerdict) -> str:
    """The verdict for a person."""
    faults = ", ".join(f"{n} {name}" for name, n in v.faults.items() if n)
    steps = ", ".join(f"{n} {name}" for name, n in v.steps.items())
    done = v.transactions
    aborted = done["aborted"] / max(sum(done.values()), 1)
    labels = ", ".join(f"{n:,} {name}" for name, n in v.entries.items() if n)
    compared = ", ".join(f"{n:,} {name}" for name, n in v.compared.items() if n)
    rebuilt = ", ".join(f"{n} from {SOURCES.get(name, name)}" for name, n in v.rebuilt.items())
    lines = [
        f"Kafka {v.broker.version}, cluster {v.broker.cluster_id}; "
        + ", ".join(f"{name} {version}" for name, version in v.versions.items()),
        f"seed {v.seed} · {v.n:,} predictions{f' · planted: {v.planted}' if v.planted else ''}",
        f"{'struck':<14}{faults or 'nothing'}",
        f"{'observers at':<14}{steps or 'no step'}",
        f"{'transactions':<14}{done['committed']:,} committed, {done['aborted']:,} aborted ({aborted:.0%})",
        f"{'entries':<14}{labels}",
        f"{'recomputed':<14}{compared}",
        f"{'memories':<14}{rebuilt or 'none rebuilt'} during the faults",
        *_table(v),
        *(_recovery(one) for one in v.recovery),
        f"{'analyst':<14}{_analyst(v.analyst)}",
    ]
    if v.bound95 is not None:
        lines.append(f"{'95 % bound':<14}fewer than {v.bound95:.2g} violations a kill")
    lines += [f"{'for example':<14}{one}" for one in v.examples]
    again = f"{'ok' if v.ok else 'BROKEN'} after {v.wall_s:,.0f} s · repeat with --seed {v.seed}"
    return "\n".join([*lines, again])


def _table(v: MonitorVerdict) -> list[str]:
    cells = [f"{name:<9}{NAMES[name]:<19}{count:,}" for name, count in v.violations.items()]
    return ["".join(f"{cell:<36}" for cell in cells[i : i + 3]).rstrip() for i in range(0, len(cells), 3)]


def _recovery(one: Recovery) -> str:
    said = f"{one.seconds:.1f} s from {SOURCES.get(one.source, one.source)}"
    return (
        f"{'recovery':<14}{said}: {one.records:,} entries of {one.partitions} partitions read again in "
        f"{one.rebuilding:.1f} s, {one.known:,} ids known"
    )


def _analyst(a: Analyst | None) -> str:
    if a is None:
        return "not tried"
    return f"{a.figures:,} figures and {a.windows:,} windows as known then compared, {a.requests:,} requests"
