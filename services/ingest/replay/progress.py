"""Where an interrupted replay goes on: a file, replaced whole, that never says more than the broker acknowledged."""

import os
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from pathlib import Path

import msgspec

from services.ingest.replay.plan import Kind, Selection
from shared.core.errors import UserError


class Stored(msgspec.Struct, frozen=True):
    """How many items of each kind are acknowledged, of which files; `event_time` (ms) is for people."""

    pipeline: str
    fingerprint: str
    records: int = 0
    features: int = 0
    labels: int = 0
    event_time: int = 0
    done: bool = False

    @property
    def skip(self) -> dict[Kind, int]:
        """What to leave out when going on."""
        return {Kind.RECORD: self.records, Kind.FEATURE: self.features, Kind.LABEL: self.labels}


def fingerprint(files: Iterable[Path | None], selection: Selection) -> str:
    """What must be equal for "the first n" to mean the same: the files' content and the selection."""
    digest = blake2b(repr(selection).encode(), digest_size=16)
    for path in files:
        digest.update(b"\0")
        if path is not None:
            _add(digest, path)
    return digest.hexdigest()


def _add(digest: "blake2b", path: Path) -> None:
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}", remedy="name a readable file") from None


class ProgressFile:
    """The stored progress of one replay: one file a pipeline and fingerprint in `folder`."""

    def __init__(self, folder: Path, pipeline: str, code: str) -> None:
        self._path = folder / f"{pipeline}-{code[:16]}.json"
        self._new = Stored(pipeline, code)

    def load(self) -> Stored:
        """What is stored, or a fresh start where nothing is.

        Raises:
            UserError: the file is unreadable.
        """
        try:
            stored = msgspec.json.decode(self._path.read_bytes(), type=Stored)
        except FileNotFoundError:
            return self._new
        except (OSError, msgspec.DecodeError) as error:
            raise UserError(f"{self._path}: {error}", remedy="remove it and start without --resume") from None
        # The name holds a part of the code only.
        return stored if stored.fingerprint == self._new.fingerprint else self._new

    def save(self, sent: Mapping[Kind, int], event_time: int, *, done: bool = False) -> None:
        """Replace the file; a crash leaves the old one or the new one.

        Args:
            sent: items that the broker has acknowledged, from the first on.
            event_time: of the newest of them (ms).
            done: whether nothing is left.
        """
        records, features, labels = sent[Kind.RECORD], sent[Kind.FEATURE], sent[Kind.LABEL]
        code = self._new.fingerprint
        stored = Stored(self._new.pipeline, code, records, features, labels, event_time, done)
        beside = self._path.with_suffix(f".{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with beside.open("wb") as file:
                file.write(msgspec.json.encode(stored))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._path)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise UserError(
                f"{self._path}: {error.strerror}", remedy="set TAILRACE_STATE to a folder to write in"
            ) from None
