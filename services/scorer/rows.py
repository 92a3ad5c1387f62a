"""The records of a part on their way through the step: which are still good, and what became of the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shared.core.codec import Decoded
from shared.core.features import Matrix
from shared.core.ports import Found, Part, Reject


@dataclass(frozen=True, slots=True)
class Scored:
    """Records on their way: the rows that are still good, and the rejects so far."""

    decoded: Decoded
    found: Found
    rejects: list[Reject] = field(default_factory=list)


def some(scored: Scored, rows: Sequence[int]) -> Scored:
    """These rows alone, without any rejects."""
    decoded, found = scored.decoded, scored.found
    return Scored(
        Decoded(
            rows=[decoded.rows[j] for j in rows],
            index=[decoded.index[j] for j in rows],
            ids=[decoded.ids[j] for j in rows],
            keys=[decoded.keys[j] for j in rows],
            times=[decoded.times[j] for j in rows],
            refused=decoded.refused,
        ),
        Found(
            {g: [column[j] for j in rows] for g, column in found.values.items()},
            {g: [column[j] for j in rows] for g, column in found.ages.items()},
            {g: [column[j] for j in rows] for g, column in found.causes.items()},
        ),
    )


def without(
    scored: Scored, matrix: Matrix, refused: Mapping[int, tuple[str, str]], part: Part
) -> tuple[Scored, Matrix]:
    """The rows that are left after these (row -> (reason, detail)) were refused."""
    if not refused:
        return scored, matrix
    keep = [j for j in range(len(scored.decoded.rows)) if j not in refused]
    more = [Reject(part.messages[scored.decoded.index[j]], *refused[j]) for j in sorted(refused)]
    left = some(scored, keep)
    marks = {name: marked[keep] for name, marked in matrix.flags.items()}
    return Scored(left.decoded, left.found, scored.rejects + more), Matrix(matrix.values[keep], marks, {})
