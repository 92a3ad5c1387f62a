"""The feature writer's own logic: updates from the `features` topic into Redis, and rejects for what does not fit.

Unlike other steps it writes, and to Redis only: the merge there is idempotent, so that a batch that is tried again, or
read again after a crash, ends in the same versions. Offsets are committed after the write, never before.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from shared.core import reasons
from shared.core.duplicates import has_duplicate_keys
from shared.core.errors import Invalid, Unavailable
from shared.core.metrics import Metrics
from shared.core.pipeline import PipelineSpec
from shared.core.ports import Message, Part, Reject, Result
from shared.core.records import FeatureUpdate
from shared.core.versions import MAX_LINE, MAX_MS, validate_update


class Writer(Protocol):
    """Where updates go; `shared.adapters.redis_features.RedisWriter`."""

    def write(self, updates: Sequence[FeatureUpdate]) -> Sequence[str]:
        """Write in log order; for each update `newer`, `older` or `duplicate`. Raises Unavailable."""


class _Wire(FeatureUpdate, frozen=True, forbid_unknown_fields=True):
    """An update as producers must write it."""


class FeatureWriterStep:
    """Checks and writes parts of one pipeline's `features` topic.

    Args:
        spec: the pipeline; its lookups say which groups and fields there are.
        writer: takes the good updates.
        metrics: counts updates by what became of them.
        seen: told after each write whether the cache took it, and why not.
    """

    def __init__(
        self,
        spec: PipelineSpec,
        writer: Writer,
        metrics: Metrics,
        seen: Callable[[bool, str], None] = lambda _ok, _why: None,
    ) -> None:
        self._specs = spec.lookups
        self._ahead = round(spec.record.max_future * 1_000)
        self._writer, self._metrics, self._seen = writer, metrics, seen
        self._decode = msgspec.json.Decoder(_Wire).decode

    def __call__(self, part: Part) -> Result:
        """Every message ends in Redis or as one reject.

        Raises:
            Unavailable: Redis did not take the part; nothing may be committed, the same part must come again.
        """
        updates: list[FeatureUpdate] = []
        rejects: list[Reject] = []
        for message in part.messages:
            try:
                updates.append(self._read(message))
            except Invalid as error:
                rejects.append(Reject(message, error.reason, error.detail))
        outcomes = Counter(self._write(updates)) if updates else Counter[str]()
        outcomes["invalid"] = len(rejects)
        for result, n in outcomes.items():
            if n:
                self._metrics.count("tailrace_feature_updates_total", n, result=result)
        return Result(rejects=rejects)

    def _write(self, updates: Sequence[FeatureUpdate]) -> Sequence[str]:
        try:
            results = self._writer.write(updates)
        except Unavailable as error:
            self._seen(False, str(error))
            raise
        self._seen(True, "")
        return results

    def _read(self, message: Message) -> FeatureUpdate:
        value, key = message.value(), message.key()
        if not value:
            raise Invalid(reasons.EMPTY, "no value; a version is superseded by a newer one, never deleted")
        if len(value) > MAX_LINE:
            raise Invalid(reasons.TOO_LARGE, f"{len(value)} bytes, allowed are {MAX_LINE}")
        update = self._parse(value)
        if key is not None and key != f"{update.group}:{update.entity}".encode():
            raise Invalid(reasons.KEY_MISMATCH, "the key is not <group>:<entity> of its value")
        kind, appended = message.timestamp()
        validate_update(update, self._specs, not_after=appended + self._ahead if kind and appended > 0 else MAX_MS)
        return update

    def _parse(self, value: bytes) -> FeatureUpdate:
        try:
            update = self._decode(value)
        except msgspec.ValidationError as error:
            raise Invalid(reasons.WRONG_TYPE, str(error)[:200]) from None
        except (msgspec.DecodeError, RecursionError, ValueError) as error:
            raise Invalid(reasons.NOT_JSON, str(error)[:200]) from None
        if has_duplicate_keys(value):
            raise Invalid(reasons.DUPLICATE_KEY, "a key stands twice in one object")
        return update
