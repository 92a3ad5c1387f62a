"""Where the history ends and the archive begins: no record is lost between the two."""

from pathlib import Path

from services.retrainer.dataset import load_dataset
from shared.core.codec import RecordCodec
from tests.support.bundles import HOUR, START, write_history
from tests.support.spec import make_spec


def test_the_last_records_of_the_history_are_known_later(tmp_path: Path) -> None:
    """Records of before the archive began whose labels came after that count, once their time is over; none later."""
    spec, files = make_spec(), write_history(tmp_path, n=100)
    codec, before = RecordCodec(spec), START + 50 * HOUR
    at_once = load_dataset(spec, codec, files, until=before, progress=lambda _: None)
    later = load_dataset(spec, codec, files, until=START + 80 * HOUR, before=before, progress=lambda _: None)
    assert (len(at_once), at_once.young) == (45, 5)
    assert (len(later), later.young) == (50, 0)
    assert int(later.times.max()) == before - HOUR
