"""What the model registry says of a version: names of aliases and tags, the same for whoever reads or sets them."""

import msgspec

from shared.core.records import BundleRef

CHAMPION = "champion"
CHALLENGER = "challenger"
PREVIOUS = "previous"

STATE_TAG = "tailrace.state"
DIGEST_TAG = "tailrace.digest"
URI_TAG = "tailrace.uri"
REFUSED_TAG = "tailrace.refused"

PENDING = "pending"
COMPLETE = "complete"
FAILED = "failed"


class Draft(msgspec.Struct, frozen=True):
    """A version that has its number and run, and no bundle yet. `base` is where its artifacts are served over HTTP."""

    name: str
    version: str
    run_id: str
    base: str


class Shape(msgspec.Struct, frozen=True):
    """What a model takes, features in the order of its columns, and how many classes it answers (0: a value)."""

    features: tuple[str, ...]
    classes: int


class VersionInfo(msgspec.Struct, frozen=True):
    """A registered version. `state` is pending, complete or failed; `created` is in ms of wall time.

    `digest` and `uri` are empty until it is complete; `refused` is why it was rolled back, empty where it was not.
    """

    version: str
    run_id: str
    digest: str
    uri: str
    state: str
    refused: str
    created: int
    tags: dict[str, str] = {}

    @property
    def ref(self) -> BundleRef | None:
        """Where its bundle is; None while it has none, and of one that failed."""
        whole = self.state == COMPLETE and self.uri and self.digest
        return BundleRef(self.version, self.uri, self.digest) if whole else None


def version_info(version: str, run_id: str, created: int, tags: dict[str, str]) -> VersionInfo:
    """A version, from what the registry keeps of it; one of another maker has no state."""
    return VersionInfo(
        version=version,
        run_id=run_id,
        digest=tags.get(DIGEST_TAG, ""),
        uri=tags.get(URI_TAG, ""),
        state=tags.get(STATE_TAG, ""),
        refused=tags.get(REFUSED_TAG, ""),
        created=created,
        tags=tags,
    )
