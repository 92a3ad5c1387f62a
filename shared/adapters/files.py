"""A folder on this machine or in any object store, by URL (fsspec): a file is there whole, or not at all."""

import os
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from secrets import token_hex
from typing import Any, BinaryIO, NamedTuple, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from shared.core.errors import Unavailable, UserError

PART = ".part"
STALE = 3_600.0
"""Age (s) after which what a killed writer left beside a file is nobody's any more."""
_TRIES = 5


class Entry(NamedTuple):
    """A file's name below the folder, and its size in bytes."""

    name: str
    size: int


def no_mark(_: str) -> None:
    """The usual mark: nothing happens at the named steps of a write."""


class Folder:
    """Reads, lists and replaces files below a URL. Names are relative, with `/`.

    On this machine a file is written beside, synced and renamed; in an object store a put is atomic by itself.

    Args:
        url: a path, `file://`, `memory://`, or whatever fsspec has a library for.
        mark: called at each named step of a local write (`written`, `renamed`), so that tests can crash there.

    Raises:
        UserError: no library for this kind of URL; names it.
    """

    def __init__(self, url: str, mark: Callable[[str], None] = no_mark) -> None:
        try:
            system, root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            what = " ".join(str(error).split())
            raise UserError(f"{url}: {what}", remedy="install that library, or name a folder") from None
        except ValueError as error:
            raise UserError(f"{url}: {error}", remedy="name a folder, or a URL that fsspec knows") from None
        self.url, self._mark = url, mark
        self._fs: Any = system
        self._root: str = str(root).rstrip("/")
        self._local = isinstance(system, LocalFileSystem)

    def entries(self, under: str = "") -> list[Entry]:
        """Every whole file below, by name; none where the folder does not exist.

        Raises:
            Unavailable: it cannot be listed now.
        """
        for _ in range(_TRIES):  # a file that goes while it is listed makes the listing fail, not end without it
            self._fs.invalidate_cache()
            try:
                found = self._fs.find(self._path(under), detail=True)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise self._away(under, error) from error
            names = ((str(path)[len(self._root) + 1 :], info) for path, info in found.items())
            return sorted(Entry(name, int(info["size"] or 0)) for name, info in names if _whole(name))
        raise Unavailable(f"{self.url}/{under} changes faster than it can be listed")

    def read(self, name: str) -> bytes:
        """A file's content.

        Raises:
            FileNotFoundError: it is not there (any more).
            Unavailable: it cannot be read now.
        """
        try:
            return cast("bytes", self._fs.cat_file(self._path(name)))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._away(name, error) from error

    def open(self, name: str) -> BinaryIO:
        """A file to read parts of; whoever asks closes it.

        Raises:
            FileNotFoundError: it is not there (any more).
            Unavailable: it cannot be read now.
        """
        try:
            return cast("BinaryIO", self._fs.open(self._path(name), "rb"))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._away(name, error) from error

    def write(self, name: str, content: bytes) -> None:
        """Make or replace a file: whoever reads it finds all of the old content or all of the new.

        Raises:
            Unavailable: it cannot be written now (a full disk, no rights, a store that is away).
        """
        try:
            if self._local:
                self._rename_in(Path(self._path(name)), content)
            else:
                self._fs.pipe_file(self._path(name), content)
        except OSError as error:
            raise self._away(name, error) from error

    def remove(self, name: str) -> bool:
        """Remove a file; whether it was there.

        Raises:
            Unavailable: it cannot be removed now.
        """
        try:
            self._fs.rm_file(self._path(name))
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._away(name, error) from error
        return True

    def sweep(self, now: float | None = None) -> int:
        """Remove what writers that were killed left beside files long ago (`now`: s since 1970); how many."""
        if not self._local:
            return 0
        before = (time.time() if now is None else now) - STALE
        old = [path for path in Path(self._root).rglob(f".*{PART}") if _touched(path) < before]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)

    def _rename_in(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}-{token_hex(4)}{PART}")
        try:
            with beside.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            self._mark("written")
            beside.replace(path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise
        _sync(path.parent)
        self._mark("renamed")

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _away(self, name: str, error: OSError) -> Unavailable:
        return Unavailable(f"{self.url}/{name}: {error.strerror or error}")


def _whole(name: str) -> bool:
    return not PurePosixPath(name).name.endswith(PART)


def _touched(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def _sync(folder: Path) -> None:
    """The rename itself is on the disk only once the folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
