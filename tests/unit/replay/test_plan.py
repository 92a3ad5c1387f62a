"""The plan: one sequence in event time, cut into slices and chunks."""

from random import Random

from services.ingest.replay.plan import Item, Kind, Selection, chunks, merge, slices


def item(due: int, kind: Kind = Kind.RECORD) -> Item:
    """An item that is due at its own time."""
    return Item(due, kind, due, b"k", str(due).encode())


def test_the_sequence_is_in_order_and_complete() -> None:
    """Whatever the three streams hold, all of it comes out ordered, and at one moment features first, labels last."""
    seed = 11
    random = Random(seed)
    streams = [sorted(item(random.randrange(50), kind) for _ in range(200)) for kind in Kind]
    merged = list(merge(*streams))
    assert sorted((i.due, i.kind) for s in streams for i in s) == [(i.due, i.kind) for i in merged], seed


def test_equal_moments_keep_the_order_of_the_file() -> None:
    """Two records of one moment go out as the file has them."""
    stream = [Item(5, Kind.RECORD, 5, b"k", value) for value in (b"z", b"a", b"m")]
    assert [i.value for i in merge(stream, [])] == [b"z", b"a", b"m"]


def test_slices_put_features_first() -> None:
    """In a slice the features stand apart from what they are for, and empty spans are left out."""
    parts = list(slices([item(1), item(2, Kind.FEATURE), item(3, Kind.LABEL), item(25)], 10))
    assert [(p.start, p.end, [i.due for i in p.features], [i.due for i in p.others]) for p in parts] == [
        (0, 10, [2], [1, 3]),
        (20, 30, [], [25]),
    ]
    assert [p.has_records for p in parts] == [True, True]


def test_a_slice_of_labels_has_no_records() -> None:
    """Labels wait for no features."""
    assert [p.has_records for p in slices([item(3, Kind.LABEL)], 10)] == [False]


def test_times_before_1970_are_cut_like_others() -> None:
    """A span of event time is half open on both sides of zero."""
    assert [(p.start, [i.due for i in p.others]) for p in slices([item(-1), item(0)], 10)] == [(-10, [-1]), (0, [0])]


def test_chunks_are_bounded_by_size_and_span() -> None:
    """A chunk holds at most `size` items, all within `span_ms` of its first."""
    items = [item(due) for due in (0, 1, 2, 3, 50, 51)]
    assert [[i.due for i in c] for c in chunks(items, 3, 40)] == [[0, 1, 2], [3], [50, 51]]


def test_a_selection_is_half_open() -> None:
    """`from` is in it, `until` is not."""
    chosen = Selection(start=10, end=20)
    assert [chosen.holds(time) for time in (9, 10, 19, 20)] == [False, True, True, False]
