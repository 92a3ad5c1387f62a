"""Erasure of a subject: every row of its key goes, and none comes back."""

import msgspec

from services.retrainer.archive.store import Archive
from shared.adapters.parquet import UnreadableError, values


class Touched(msgspec.Struct, frozen=True):
    """A file that has, or had, rows of the subject."""

    file: str
    rows: int


class Erasure(msgspec.Struct, frozen=True):
    """What an erasure found, and did if it was `applied`. `unreadable` files may hold the subject: nobody can tell."""

    pipeline: str
    subject: str
    applied: bool
    rows: int
    touched: tuple[Touched, ...]
    unreadable: tuple[str, ...]


def erase(archive: Archive, pipeline: str, key: str, *, asked: str, apply: bool) -> Erasure:
    """Erase a subject, or say what that would touch. May be done again: what is gone stays gone.

    Args:
        archive: where.
        pipeline: its name.
        key: as it stands in the archive: the pseudonym where keys are hashed.
        asked: when this was asked for, as text; kept beside the hash of the key.
        apply: do it. First the list says that the subject is not kept, so that no writer leaves it behind; then each
            file that has it is written again and renamed into its place.

    Raises:
        Unavailable: the archive cannot be read or written now; done again, it goes on.
        UserError: a file is of a newer version.
    """
    if apply:
        archive.erase(key, asked)
    touched: list[Touched] = []
    unreadable: list[str] = []
    for one in archive.files():
        try:
            n = values(archive.table(one.name, {"key": "text"}), "key").count(key)
            if n and apply:
                archive.rewrite(one)
        except FileNotFoundError:  # its range was completed meanwhile, by a writer that knows the list
            continue
        except UnreadableError:
            unreadable.append(one.name)
            continue
        if n:
            touched.append(Touched(one.name, n))
    rows = sum(one.rows for one in touched)
    return Erasure(pipeline, archive.subject(key), apply, rows, tuple(touched), tuple(unreadable))
