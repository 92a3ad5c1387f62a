"""What a training learns from: archive and earlier history, by the declared policy, without what was spoiled."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from services.retrainer.archive.store import archive_url
from services.retrainer.archived import Archived, load_archived
from services.retrainer.challenge import Material
from services.retrainer.dataset import Dataset, Files, bound, load_dataset
from services.retrainer.selection import merged, only, select
from shared.adapters.history import history_files
from shared.core.codec import RecordCodec
from shared.core.pipeline import PipelineSpec
from shared.core.retraining import OF_LABELS, OF_RECORDS, Span, Training, spoiled_at
from shared.runtime.settings import Settings

Progress = Callable[[str], None]


class HasHistory(Protocol):
    """A pipeline and its folder."""

    @property
    def spec(self) -> PipelineSpec: ...  # noqa: D102 - an attribute
    @property
    def folder(self) -> Path: ...  # noqa: D102 - the same


def material_of(
    pipeline: HasHistory, settings: Settings, training: Training, spoiled: Sequence[Span], champion: str, cache: Path,
    say: Progress,
) -> Material:  # fmt: skip
    """Everything that one training needs.

    Args:
        pipeline: whose.
        settings: where the archive is.
        training: what it is a training of: as known at `at`, and for the candidate as known `gate.holdout` before.
        spoiled: spans in which a fault stood; their records and labels teach nothing.
        champion: the version whose predictions are wanted.
        cache: where the files of a history hook are.
        say: told in a line what is being done.

    Raises:
        UserError: the history cannot be read.
        Unavailable: the archive cannot be read now.
    """
    spec, codec = pipeline.spec, RecordCodec(pipeline.spec)
    files = _files(pipeline, cache, say)
    then = training.at - round(spec.retraining.gate.holdout * 1_000)

    def known(at: int, window: int | None) -> tuple[Dataset, Dataset, Archived]:
        where = archive_url(settings)
        archived = load_archived(spec, codec, where, begin=None, until=at, as_known=at, progress=say)
        sound = _sound(_whole(spec, codec, files, archived, at, say), spoiled)
        return select(sound, spec.retraining, at, window=window), sound, archived

    say(f"what was known {spec.retraining.gate.holdout / 86_400:g} days before")
    # A candidate of before a rise gains nothing from a short window: that is for the refit, which knows the change.
    candidate, _, _ = known(then, None if training.kind == "alarm" else training.window)
    say("what is known now")
    full, judged, archived = known(training.at, training.window)
    said = zip(archived.ids, archived.versions, archived.predictions, strict=True)
    given = {name: told for name, version, told in said if version == champion}
    return Material(candidate, full, judged, given, archived.offsets)


def _files(pipeline: HasHistory, cache: Path, say: Progress) -> Files | None:
    history = pipeline.spec.history
    if not (history.hook or history.records):
        return None
    found = history_files(pipeline, cache, say=say)
    return Files(found.records, found.features, found.labels)


def _whole(
    spec: PipelineSpec, codec: RecordCodec, files: Files | None, archived: Archived, at: int, say: Progress
) -> Dataset:
    """The archive, and the history of before it began: that is the past that nobody scored, as known at the same time.

    Its last labels came when the archive had begun already.
    """
    if files is None:
        return archived.data
    ends = [at, *([int(archived.data.times[0])] if len(archived.data) else [])]
    if (declared := bound(spec.history.train_until, "history.train_until")) is not None:
        ends.append(declared)
    if not len(archived.data):
        say("the archive is empty: there is only the history")
    history = load_dataset(spec, codec, files, until=at, before=min(ends), progress=say)
    return merged(history, archived.data) if len(archived.data) else history


def _sound(data: Dataset, spoiled: Sequence[Span]) -> Dataset:
    """Without records of spans in which records were not what they seem, and labels that came while labels were not."""
    if not spoiled:
        return data
    spans = tuple(spoiled)
    good = [
        not (spoiled_at(spans, OF_RECORDS, at) or spoiled_at(spans, OF_LABELS, known))
        for at, known in zip(data.times.tolist(), data.known.tolist(), strict=True)
    ]
    return only(data, np.array(good, dtype=np.bool_))
