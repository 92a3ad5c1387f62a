"""Checkpoints: all of a partition's state in one file, so that a new machine need not read a month of journal.

A file is whole or not there: it is written beside and renamed. Its name says the offset that it goes up to.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from shared.core.store import Store

SUFFIX = ".checkpoint"
KEPT = 2
CHUNK = 2_000  # keys
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[bytes, bytes]]).decode


class Checkpoints:
    """The checkpoints of one partition.

    Args:
        folder: theirs alone; may be on a volume that many machines mount.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, store: Store, offset: int) -> Path:
        """Write everything that a store holds, and let the oldest of older files go.

        Args:
            store: stamped with the offset.
            offset: the one after the last entry that it knows.

        Raises:
            OSError: the folder is full, or not there any more.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{offset:020}{SUFFIX}"
        beside = path.with_suffix(".partial")
        with beside.open("wb") as file:
            for chunk in _chunks(store.scan(b"")):
                block = _encode(chunk)
                file.write(len(block).to_bytes(8))
                file.write(block)
            file.write((0).to_bytes(8))
        beside.rename(path)
        for old in self._files()[:-KEPT]:
            old.unlink(missing_ok=True)
        return path

    def load(self, store: Store, oldest: int, newest: int) -> int:
        """Fill a store with the newest checkpoint in [oldest, newest]; its offset, or -1 where there is none."""
        for path in reversed(self._files()):
            offset = int(path.stem)
            if not oldest <= offset <= newest:
                continue
            store.clear()
            if self._read(path, store):
                return offset
            store.clear()
        return -1

    def _read(self, path: Path, store: Store) -> bool:
        """Whether the file was whole."""
        try:
            with path.open("rb") as file:
                while size := int.from_bytes(head := file.read(8)):
                    store.write(dict(_decode(file.read(size))))
                return len(head) == 8  # noqa: PLR2004 - the length of a length
        except (OSError, msgspec.DecodeError):
            return False

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob(f"*{SUFFIX}"))


def _chunks(items: Iterator[tuple[bytes, bytes]]) -> Iterator[list[tuple[bytes, bytes]]]:
    chunk: list[tuple[bytes, bytes]] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
