"""Labels that wait for their observation, and when they have waited for too long."""

from services.monitor.observer.accounts import Accounts
from services.monitor.observer.items import Item


def drop_orphans(item: Item, accounts: Accounts, mark: int) -> bool:
    """Give up the labels that have waited for too long as of a watermark; whether there were any."""
    gone = [one for one in item.held if mark > one.reach]
    for one in gone:
        accounts.settle(one.window, "orphaned")
        if one.label.at is None:
            accounts.add(one.window, "astray")
    if gone:
        item.held = tuple(one for one in item.held if mark <= one.reach)
    return bool(gone)
