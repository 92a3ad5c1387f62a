"""What stands beside a model in the registry: plots, the card, and where its data came from."""

from pathlib import Path

import msgspec

from services.retrainer.card import Told, card_of
from services.retrainer.learn import Learned
from services.retrainer.plots import draw

PLOTS, CARD, DATA = "plots", "card.md", "data.json"
LONGEST = 4_500  # characters of a tag; MLflow takes 5,000


def write_papers(learned: Learned, told: Told, version: str, folder: Path) -> None:
    """Write them into a folder, as they stand among the artifacts of a run."""
    folder.mkdir(parents=True, exist_ok=True)
    content = learned.content
    if learned.held is not None:
        draw(content.spec, learned.held, content.reference.importance, folder / PLOTS)
    (folder / CARD).write_text(card_of(learned, told, version), encoding="utf-8")
    data = {
        "fingerprint": learned.fingerprint, "records": learned.n, "from": content.trained_from,
        "until": content.trained_until, "offsets": dict(told.offsets),
    }  # fmt: skip
    (folder / DATA).write_bytes(msgspec.json.format(msgspec.json.encode(data)))


def tags_of(learned: Learned, told: Told) -> dict[str, str]:
    """The same as tags, by which a run is found; ranges that are too many stand in the artifact alone."""
    offsets = msgspec.json.encode(dict(told.offsets)).decode()
    few = bool(told.offsets) and len(offsets) <= LONGEST
    return {"tailrace.fingerprint": learned.fingerprint, **({"tailrace.offsets": offsets} if few else {})}
