"""A pipeline's archive: outcomes as Parquet files below a URL, each row there once, whoever writes and however often.

Why twice written is once there: a file's name says the offsets that it is of, a range of a log never changes, and a
file is replaced as a whole. So a restart, or a second archiver, writes the same rows under the same name.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b

import msgspec
import numpy as np

from services.retrainer.archive.names import ERASED, TAIL, TERMS, Log, Part, day_of, parse
from services.retrainer.archive.rows import SCHEMA, VERSION
from shared.adapters.files import Folder, no_mark
from shared.adapters.parquet import Schema, Table, UnreadableError, decode, encode, joined, numbers, take, values
from shared.core.errors import UserError
from shared.runtime.model_files import state_folder
from shared.runtime.settings import Settings

SPAN = 10_000
"""Offsets of a file, where nothing else is said when an archive is begun."""


class Terms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was settled when the archive was begun: another range would cut the same rows differently."""

    range: int
    v: int = 1


class Erased(msgspec.Struct, frozen=True):
    """A subject whose rows are not kept, nor ever written again: a hash of the key, and when it was asked for."""

    subject: str
    asked: str
    v: int = 1


@dataclass(frozen=True, slots=True)
class Stored:
    """One file as it was found: what it is, how it is called, how large."""

    part: Part
    name: str
    size: int


def archive_url(settings: Settings) -> str:
    """Where archives are: as set, else in the state folder."""
    return settings.archive.url or (state_folder() / "archive").as_uri()


class Archive:
    """One pipeline's files.

    Args:
        url: where the archives of all pipelines are.
        pipeline: its name.
        mark: called at each named step of a write, so that tests can crash there.

    Raises:
        UserError: there is no library for such a URL.
    """

    def __init__(self, url: str, pipeline: str, mark: Callable[[str], None] = no_mark) -> None:
        self.folder = Folder(f"{url.rstrip('/')}/{pipeline}", mark)
        self._pipeline, self._mark = pipeline, mark

    def begin(self, span: int) -> int:
        """The range of its files: what was settled when it was begun, which is now where it is empty.

        Raises:
            UserError: what says so cannot be understood; names the file.
            Unavailable: it cannot be read or written now.
        """
        if self.span() is None:
            self.folder.write(TERMS, msgspec.json.encode(Terms(span)))
        return self.span() or span  # of two that begin at once, one is believed by both

    def span(self) -> int | None:
        """The range that was settled; None where nothing was begun. Raises as `begin`."""
        try:
            return msgspec.json.decode(self.folder.read(TERMS), type=Terms).range
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            where = f"{self.folder.url}/{TERMS}"
            raise UserError(f"{where}: {error}", remedy="name another folder, or mend it") from None

    def files(self, *, days: tuple[str, str] | None = None) -> list[Stored]:
        """Every file, tails last; with `days` (first, last) only those of such days, and the tails."""
        found = [Stored(part, name, size) for name, size in self.folder.entries() if (part := parse(name))]
        if days is not None:
            found = [one for one in found if not one.part.day or days[0] <= one.part.day <= days[1]]
        return sorted(found, key=lambda one: (not one.part.day, one.part))

    def table(self, name: str, schema: Schema = SCHEMA) -> Table:
        """The rows of a file; with `schema` only those columns.

        Raises:
            FileNotFoundError: it is gone.
            UnreadableError: it is no file of an archive.
            UserError: it is of a newer version than this program.
        """
        rows, said = decode(self.folder.read(name), schema)
        version = said.get("tailrace.v", "")
        if not version.isdecimal():
            raise UnreadableError("it was not written by an archiver")
        if int(version) > int(VERSION):
            where = f"{self.folder.url}/{name}"
            raise UserError(f"{where}: its columns are of version {version}", remedy="use a newer Tailrace")
        return rows

    def write(self, log: Log, start: int, end: int, rows: Table) -> int:
        """Write a complete range, a file a day, and remove the tails that it replaces; how many rows.

        Raises:
            Unavailable: it cannot be written now; what was written is right, and written again the next time.
        """
        days = np.array([day_of(time) for time in numbers(rows, "event_time").tolist()], dtype=np.str_)
        for day in sorted(set(days.tolist())):
            self._put(Part(log, start, end, day), take(rows, days == day))
        self._mark("range")
        self._forget(log, end)
        return int(rows.num_rows)

    def write_tail(self, log: Log, start: int, end: int, rows: Table) -> None:
        """Write what there is of a range that is not complete, and remove the tails that it replaces.

        Raises:
            Unavailable: it cannot be written now.
        """
        part = Part(log, start, end)
        self._put(part, rows)
        self._forget(log, end, keep=part)

    def known(self, log: Log, start: int, span: int) -> tuple[Table | None, int]:
        """What is archived of a range, complete or not, a row once, and up to which offset that goes (at least)."""
        found = [one for one in self.files() if one.part.log == log and one.part.start // span == start // span]
        tables = []
        for one in found:
            try:
                tables.append(self.table(one.name))
            except (FileNotFoundError, UnreadableError):
                continue
        whole = joined(tables) if tables else None
        return whole if whole is None else once(whole), max((one.part.end for one in found), default=start)

    def erased(self) -> frozenset[str]:
        """The hashes of all subjects that are not kept."""
        names = (name for name, _ in self.folder.entries(ERASED))
        return frozenset(name.rpartition("/")[2].removesuffix(".json") for name in names)

    def erase(self, key: str, asked: str) -> None:
        """Say that a subject is not kept; from here on no writer leaves a row of it behind."""
        subject = self.subject(key)
        self.folder.write(f"{ERASED}/{subject}.json", msgspec.json.encode(Erased(subject, asked)))

    def subject(self, key: str) -> str:
        """The hash by which an erased subject is known: it does not say who it was, but one can try."""
        return blake2b(key.encode("utf-8", "replace"), digest_size=16, key=self._pipeline.encode()[:64]).hexdigest()

    def kept(self, rows: Table, erased: Iterable[str]) -> Table:
        """The rows without those of erased subjects."""
        gone = frozenset(erased)
        if not gone:
            return rows
        keys = values(rows, "key")
        out = {key for key in set(keys) if self.subject(key) in gone}
        return take(rows, np.array([key not in out for key in keys], dtype=np.bool_)) if out else rows

    def rewrite(self, one: Stored) -> int:
        """Write a file again without erased subjects, if it has any; how many rows went.

        Raises:
            UnreadableError: it is no file of an archive.
            Unavailable: it cannot be read or written now.
        """
        try:
            rows = self.table(one.name)
        except FileNotFoundError:  # a range was completed meanwhile, by a writer that knows the list
            return 0
        gone = int(rows.num_rows - self.kept(rows, self.erased()).num_rows)
        if gone:
            self._put(one.part, rows)
        return gone

    def _put(self, part: Part, rows: Table) -> None:
        """Write a file, without erased subjects: whoever is erased while it is written is gone after it, too.

        An erasure says so first and looks at files afterwards; a writer writes first and asks afterwards. So one of
        the two meets the other, however long a writer sleeps in between.
        """
        known: frozenset[str] | None = None
        while known != (now := self.erased()):
            kept, known = self.kept(rows, now), now
            if kept.num_rows:
                self.folder.write(part.name, encode(kept, {"tailrace.v": VERSION, "tailrace.pipeline": self._pipeline}))
            else:
                self.folder.remove(part.name)

    def _forget(self, log: Log, end: int, keep: Part | None = None) -> None:
        """Remove the tails of a log that end no later: all their rows stand in what was just written, or before."""
        for name, _ in self.folder.entries(TAIL):
            part = parse(name)
            if part is not None and part.log == log and part.end <= end and part != keep:
                self.folder.remove(name)


def once(rows: Table) -> Table:
    """Each offset once, in order: files of the same offsets have the same rows."""
    places = np.stack([numbers(rows, "partition"), numbers(rows, "offset")])
    return take(rows, np.unique(places, axis=1, return_index=True)[1].astype(np.int64))


def range_of(offset: int, span: int) -> tuple[int, int]:
    """The range `[start, end)` that an offset is in."""
    start = offset // span * span
    return start, start + span
