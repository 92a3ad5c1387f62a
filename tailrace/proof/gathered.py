"""Everything is read back: by a read_committed reader, and by one that sees what was aborted, too."""

import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.table import TableReader
from shared.core.records import Application, Rollout
from shared.core.topics import topic
from tailrace.proof.evidence import Evidence, attempts_of
from tailrace.proof.scene import Scene
from tailrace.proof.tape import OUTPUTS, Keep, Position, Row, Tape
from tailrace.proof.trail import read_trails

SAMPLE = 3_000  # predictions that are scored again
_MODELS_S = 30.0


def gather(
    scene: Scene,
    guarantee: str,
    records: int,
    seed: int,
    seen: Sequence[Row],
    offsets: Sequence[tuple[int, Mapping[int, int]]],
) -> tuple[Evidence, list[Row]]:
    """All evidence of a scene whose workers have stopped, and a sample of its observations with their values.

    Args:
        scene: what was played on.
        guarantee: what was promised.
        records: how many were sent, about.
        seed: of the sample.
        seen: what the reader of during the faults saw.
        offsets: what the group had committed then.

    Raises:
        Unavailable: the topics could not be read back.
    """
    dice = random.Random(seed)  # noqa: S311 - a proof is repeatable
    share = SAMPLE / max(records, 1)

    def keep(name: str, at: Position) -> bool:
        del at
        return name != "journal" or dice.random() < share

    after = read_back(scene, ("records", *OUTPUTS), committed=True, keep=keep)
    raw = read_back(scene, OUTPUTS, committed=False, keep=lambda *_: False)
    outputs = [row for row in after if row.topic in OUTPUTS]
    applications = [msgspec.json.decode(r.value or b"", type=Application) for r in outputs if r.topic == "rollouts"]
    epochs = active(scene)
    evidence = Evidence(
        spec=scene.pipeline.spec,
        guarantee=guarantee,
        records=[row for row in after if row.topic not in OUTPUTS],
        after=outputs,
        live=seen,
        raw=raw,
        attempts=attempts_of(read_trails(scene.trails), scene.name),
        offsets=offsets,
        refs={epoch: one.champion for epoch, one in epochs.items()},
        applications=applications,
        canaries={epoch: one for epoch, one in epochs.items() if one.mode == "canary"},
    )
    return evidence, [row for row in outputs if row.topic == "journal" and row.value is not None]


def read_back(scene: Scene, names: tuple[str, ...], *, committed: bool, keep: Keep) -> list[Row]:
    """Everything that can be read; what an open transaction hides is I17's to tell, and I1 counts it as lost."""
    admin = KafkaAdmin(scene.conf)
    ends: dict[tuple[str, int], int] = {}
    for name in names:
        full = topic(scene.name, name)  # type: ignore[arg-type] # one of its names
        count = admin.topics([full])[full].partitions
        wanted = admin.offsets(full, range(count), "stable" if committed else "end")
        ends |= {(full, p): end for p, end in wanted.items()}
    with Tape(scene.conf, scene.name, names, committed=committed, keep=keep) as tape:
        return tape.read_to(ends)


def active(scene: Scene) -> dict[int, Rollout]:
    """What epochs mean that were ever in force, by epoch; a shadow's is never."""
    reader = TableReader(scene.conf, topic(scene.name, "models"), _MODELS_S)
    try:
        table = [msgspec.json.decode(value, type=Rollout) for value in reader.to_end()]
    finally:
        reader.close()
    return {one.epoch: one for one in table if one.state == "active" and one.mode != "shadow"}


def save(home: Path, keep: Path | None, say: Callable[[str], None]) -> None:
    """Logs, trails and the broker's data go where they are kept, if anywhere."""
    if keep is None:
        return
    for name in ("stack/logs", "stack/workers", "stack/kafka", "trails"):
        shutil.copytree(home / name, keep / Path(name).name, dirs_exist_ok=True)
    say(f"logs, trails and the broker's data are kept in {keep}")
