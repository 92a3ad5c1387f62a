"""What each reason of a dead letter means, and what usually mends it: for the person who reads `tailrace dlq list`."""

from typing import NamedTuple

from shared.core import reasons as r


class Meaning(NamedTuple):
    """Two half-sentences for people; `docs/delivery.md` has the first in its table."""

    meaning: str
    remedy: str


_PRODUCER = "mend the producer, and let it send the record again"
_FIELD = "mend the producer, or widen the field in the pipeline's file; then replay"
UNKNOWN = Meaning("a code that this version does not know", "read the detail with `tailrace dlq show`")

MEANINGS: dict[str, Meaning] = {
    r.EMPTY: Meaning("no value, or an update without values", "mend the producer; there is nothing to replay"),
    r.NOT_JSON: Meaning("not JSON in UTF-8, or nested too deeply", _PRODUCER),
    r.TOO_LARGE: Meaning("more bytes than allowed", "raise record.max_bytes, or mend the producer; then replay"),
    r.DUPLICATE_KEY: Meaning("a key stands twice in one object", _PRODUCER),
    r.MISSING_FIELD: Meaning(
        "a required field is not there", "mend the producer, or declare `required: false`; then replay"
    ),
    r.UNKNOWN_FIELD: Meaning("a field that is not declared", "declare it, or set `record.extra: ignore`; then replay"),
    r.WRONG_TYPE: Meaning("a value of another type; nothing is coerced", _FIELD),
    r.TOO_LONG: Meaning("a text longer than declared", _FIELD),
    r.OUT_OF_RANGE: Meaning("a number outside its bounds, or too large for the model's 32-bit numbers", _FIELD),
    r.BAD_ID: Meaning("the id is empty or has control characters", _PRODUCER),
    r.BAD_KEY: Meaning("the entity is empty or has control characters", _PRODUCER),
    r.KEY_MISMATCH: Meaning("the Kafka key differs from the record's own", _PRODUCER),
    r.BAD_EVENT_TIME: Meaning(
        "before 1980, or too far after arrival",
        "mend the producer's clock; what was only ahead can be replayed once its time has come",
    ),
    r.MISSING_VALUE: Meaning(
        "a feature with `missing: reject` has no value", "bring the value, or choose another policy; then replay"
    ),
    r.MISSING_LOOKUP: Meaning(
        "a lookup group with `on_missing: reject` has nothing usable",
        "bring the features to the topic `features`; then replay",
    ),
    r.NOT_A_NUMBER: Meaning("the model gave no finite score", "bring a mended model into force; then replay"),
    r.FORGED_CONTROL: Meaning(
        "a control record whose epoch `models` does not know", "find out who wrote it; it is not replayed"
    ),
    r.UNKNOWN_SCHEMA: Meaning("a feature update of another schema version", "update the feature writer; then replay"),
    r.UNKNOWN_GROUP: Meaning("a feature update for a group that is not declared", "declare the group; then replay"),
    r.UNKNOWN_CLASS: Meaning(
        "a label whose value is none of the classes",
        "mend the producer, or add the class to labels.classes and train; then replay",
    ),
    r.POISON: Meaning(
        "the step broke on this record alone; the detail says where", "mend the code or the model; then replay"
    ),
    r.OTHER: Meaning("in metrics only: a code that is not in this table", UNKNOWN.remedy),
}
