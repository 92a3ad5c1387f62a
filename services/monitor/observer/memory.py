"""What is remembered of a partition beside its items, and lives longer than a batch."""

from dataclasses import dataclass, field

from services.monitor.observer.accounts import Accounts
from services.monitor.observer.blocks import Blocks
from services.monitor.observer.lives import Lives


@dataclass(slots=True)
class Memory:
    """Watermark, accounts, lives, and the error blocks that are being filled.

    `waiting` is a heap of (reach, id) of the labels that were held; some of them have met their observation since.
    """

    mark: int
    accounts: Accounts
    lives: Lives
    blocks: Blocks
    waiting: list[tuple[int, str]] = field(default_factory=list)
