"""The topic `models` as the retrainer sees it: what is in force, and what was ever announced."""

from shared.core.records import BundleRef
from shared.runtime.follow import RolloutFollower, TopicReader


class ModelsView:
    """Reads `models`.

    Args:
        pipeline: its name.
        reader: of `<pipeline>.models`.
    """

    def __init__(self, pipeline: str, reader: TopicReader) -> None:
        self._follower = RolloutFollower(reader, pipeline, lambda _: None)

    def refresh(self) -> None:
        """Take in everything that was written before this call.

        Raises:
            Unavailable: the broker does not answer.
        """
        self._follower.refresh(True)

    def champion(self) -> BundleRef | None:
        """The version that scores records now (in a canary the one that most are scored by)."""
        newest = self._follower.table.newest_active()
        return None if newest is None else newest.champion

    def versions(self) -> frozenset[str]:
        """Every version that was ever announced."""
        both = ((one.champion, one.challenger) for one in self._follower.table)
        return frozenset(ref.version for refs in both for ref in refs if ref is not None)
