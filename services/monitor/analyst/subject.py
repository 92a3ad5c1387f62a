"""What a version was when it was trained: what all that is seen of it later stands beside."""

import msgspec

from shared.core.reference import Reference


class Subject(msgspec.Struct, frozen=True):
    """One version.

    `reference` is its profile; None for a version that nobody knows: then nothing is said of its features. `holdout`
    has its figures on the judged holdout, by their names in `shared.core.quality`.
    """

    version: str
    reference: Reference | None = None
    holdout: dict[str, float] = {}
