"""The topic `models` as the retrainer sees it: what is in force, and which epoch a new version gets."""

from collections.abc import Sequence

import msgspec

from shared.core.announcing import next_rollout
from shared.core.ports import Block
from shared.core.records import BundleRef, Rollout
from shared.core.topics import topic
from shared.runtime.follow import RolloutFollower, TopicReader

_encode = msgspec.json.Encoder().encode


class ModelsView:
    """Reads `models`; what is written goes through the ledger's transaction.

    Args:
        pipeline: its name.
        reader: of `<pipeline>.models`.
    """

    def __init__(self, pipeline: str, reader: TopicReader) -> None:
        self._pipeline, self._topic = pipeline, topic(pipeline, "models")
        self._seen: list[Rollout] = []
        self._follower = RolloutFollower(reader, pipeline, self._seen.append)

    def refresh(self) -> None:
        """Take in everything that was written before this call.

        Raises:
            Unavailable: the broker does not answer.
        """
        self._seen.clear()
        self._follower.refresh(True)

    def champion(self) -> BundleRef | None:
        """The version that scores records now (in a canary the one that most are scored by)."""
        newest = self._follower.table.newest_active()
        return None if newest is None else newest.champion

    def versions(self) -> frozenset[str]:
        """Every version that was ever announced."""
        both = ((one.champion, one.challenger) for one in self._follower.table)
        return frozenset(ref.version for refs in both for ref in refs if ref is not None)

    def announce(self, ref: BundleRef, now_ms: int) -> tuple[Rollout, Block]:
        """What announces a version, as of the last `refresh`."""
        rollout = next_rollout(self._pipeline, self._follower.table, ref, now_ms)
        return rollout, self._block([rollout])

    def stands(self, epoch: int, ref: BundleRef) -> bool:
        """Whether the epoch is this version's, whatever became of it since; as of the last `refresh`."""
        found = self._follower.table.get(epoch)
        return found is not None and found.champion == ref

    def crossed(self, epoch: int, ref: BundleRef) -> Block | None:
        """What to write again: another one had taken the epoch between our look and our words, and we wrote over it.

        As of what the last `refresh` gave.
        """
        others = [one for one in self._seen if one.epoch == epoch and one.champion != ref]
        if not others or not self.stands(epoch, ref):
            return None
        return self._block(others[-1:])

    def _block(self, rollouts: Sequence[Rollout]) -> Block:
        keys = [f"{self._pipeline}/{one.epoch}".encode() for one in rollouts]
        return Block(self._topic, keys, list(map(_encode, rollouts)))
