"""Where a pipeline's history is: the files it declares, or what its hook writes, once, into the cache.

A hook is the pipeline's own Python file. It runs in a process of its own (`python -m shared.adapters.history`), so
that its libraries and their memory are gone when the files are there, and a crash of it is a sentence.
"""

import runpy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

from shared.core.errors import UserError
from shared.core.pipeline import PipelineSpec

_FORMAT = b"1"  # raise it when files that are in caches must be written again
_ROOT = Path(__file__).parents[2]
_LIBRARY = _ROOT / "shared" / "simulation"
_NAMES = ("records", "features", "labels")
_WRITTEN = (*_NAMES, "truth")


class HasHistory(Protocol):
    """A pipeline: its spec, and the folder that its paths are relative to."""

    @property
    def spec(self) -> PipelineSpec:
        """The decoded pipeline.yaml."""

    @property
    def folder(self) -> Path:
        """Where it lies."""


@dataclass(frozen=True, slots=True)
class HistoryFiles:
    """The files of a history; `features` and `labels` are None where there are none.

    `truth` is what a simulated world knows of itself (by id, the best that any model could say); nothing but a
    comparison of qualities reads it.
    """

    records: Path
    features: Path | None = None
    labels: Path | None = None
    truth: Path | None = None


def _silent(_: str) -> None:
    pass


def history_files(pipeline: HasHistory, cache: Path, *, say: Callable[[str], None] = _silent) -> HistoryFiles:
    """The files of a pipeline's history; runs its hook if its result is not in the cache.

    Args:
        pipeline: whose history.
        cache: the cache folder; results of hooks are in `<cache>/history/<pipeline>-<hash>`, where the hash covers the
            hook's text, the files beside it, the simulators' library where it uses that, and the model's seed, so a
            changed hook is run again.
        say: told in one line what takes time.

    Raises:
        UserError: nothing is declared, a declared file is missing, or the hook failed; names the file and key.
    """
    spec = pipeline.spec.history
    if spec.hook:
        return _hooked(pipeline, cache, say)
    if not spec.records:
        raise UserError(
            f"{pipeline.folder / 'pipeline.yaml'}: history names neither a hook nor records",
            remedy="declare history.hook or history.records, or give a FILE",
        )
    found = {name: pipeline.folder / path for name in _NAMES if (path := getattr(spec, name))}
    for name, path in found.items():
        if not path.is_file():
            raise UserError(f"{path}: no such file", remedy=f"check history.{name} in pipeline.yaml")
    return HistoryFiles(**found)


def _hooked(pipeline: HasHistory, cache: Path, say: Callable[[str], None]) -> HistoryFiles:
    hook = pipeline.folder / pipeline.spec.history.hook
    if not hook.is_file():
        raise UserError(f"{hook}: no such file", remedy="check history.hook in pipeline.yaml")
    seed = pipeline.spec.model.seed
    target = cache / "history" / f"{pipeline.spec.name}-{_code(hook, seed)}"
    if not target.is_dir():
        say(f"writing the history of {pipeline.spec.name} (first time only)")
        _write(hook, target, seed)
    return _resolve(target, hook)


def _code(hook: Path, seed: int) -> str:
    text = hook.read_bytes()
    beside = (one for one in hook.parent.iterdir() if one.is_file() and one != hook and not _says_nothing(one))
    library = _LIBRARY.glob("*.py") if b"shared.simulation" in text else ()
    sources = [one.read_bytes() for one in (*sorted(beside), *sorted(library))]
    return blake2b(b"\0".join((_FORMAT, str(seed).encode(), text, *sources)), digest_size=8).hexdigest()


def _says_nothing(file: Path) -> bool:
    return file.name == "pipeline.yaml" or file.suffix == ".md" or file.name.startswith(".")


def _resolve(folder: Path, hook: Path) -> HistoryFiles:
    found = {name: path for name in _WRITTEN if (path := folder / f"{name}.parquet").is_file()}
    if "records" not in found:
        raise UserError(f"{hook}: wrote no records.parquet", remedy=f"mend its write(folder, seed), remove {folder}")
    return HistoryFiles(**found)


def _write(hook: Path, target: Path, seed: int) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise UserError(
            f"{target.parent}: {error.strerror}", remedy="set TAILRACE_CACHE to a folder to write in"
        ) from None
    try:
        _run(hook, beside, seed)
        _resolve(beside, hook)
        # Whole or not at all; where another process was faster, its result is as good as ours.
        if not target.is_dir():
            beside.rename(target)
    except OSError as error:
        if not target.is_dir():
            raise UserError(f"{target}: {error.strerror}", remedy="look at the folder and its disk") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _run(hook: Path, folder: Path, seed: int) -> None:
    command = [sys.executable, "-m", "shared.adapters.history", str(hook.absolute()), str(folder), str(seed)]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise UserError(f"{hook}: write(folder, seed) failed ({last})", remedy="run it by hand and mend it")


def run_hook(hook: str, folder: str, seed: str) -> None:
    """Call `write(folder, seed)` of a hook in this process."""
    write = runpy.run_path(hook).get("write")
    if write is None:
        raise AttributeError("it has no function write(folder, seed)")
    write(Path(folder), int(seed))


if __name__ == "__main__":
    run_hook(*sys.argv[1:])
