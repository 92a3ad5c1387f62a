"""Asking a child process for the first answers of a model that is not trusted yet."""

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np

from services.scorer.check_bundle import Question, Verdict
from shared.core.bundle import Golden, Manifest
from shared.core.bundle_checks import refusal
from shared.core.features import Floats
from shared.core.golden import check_scores

_MEMORY = 4 << 30  # address space, of which libraries reserve far more than they use
_SLOWER = 100.0
_FLOOR = 2.0  # microseconds a record below which "100 times slower" would measure noise
_KEPT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT")


def try_in_child(folder: Path, manifest: Manifest, golden: Golden, matrix: Floats, seconds: float) -> Verdict:
    """Load a bundle's model in a child process and hold its golden scores and its speed against the manifest.

    Args:
        folder: the bundle, its digest, signature and manifest already verified.
        manifest: of this bundle.
        golden: of this bundle.
        matrix: the golden records as float32 (n, d).
        seconds: time after which the child is killed.

    Returns:
        What the child said.

    Raises:
        ModelRefused: the model cannot be loaded within the limits, scores otherwise, or is 100 times slower.
    """
    question = Question(manifest.runtime, matrix.tobytes(), len(matrix), _MEMORY, int(seconds) + 1)
    verdict = _ask(folder, question, seconds)
    if verdict.refused:
        raise refusal(*verdict.refused.split(": ", 1)) if ": " in verdict.refused else refusal("model", verdict.refused)
    check_scores(np.array(verdict.scores), golden, manifest.tolerance)
    speeds = manifest.measured[manifest.runtime]
    stated = speeds.get("1000") or max(speeds.values())
    if verdict.microseconds > _SLOWER * max(stated, _FLOOR):
        raise refusal("speed", f"{verdict.microseconds:,.0f} us a record; the manifest says {stated:,.1f}")
    return verdict


def _ask(folder: Path, question: Question, seconds: float) -> Verdict:
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with tempfile.TemporaryDirectory(prefix="tailrace-check-") as empty:
        # -I: neither the working folder nor PYTHON* variables can bring in other code.
        command = [sys.executable, "-I", "-m", "services.scorer.check_bundle", str(folder.absolute())]
        child = subprocess.Popen(
            command,
            cwd=empty,
            env=environment | {"HOME": empty, "TMPDIR": empty},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            out, _ = child.communicate(msgspec.msgpack.encode(question), timeout=seconds)
        except subprocess.TimeoutExpired:
            raise refusal("timeout", f"the model did not answer golden records within {seconds:g} s") from None
        finally:
            _end(child)
    try:
        return msgspec.msgpack.decode(out, type=Verdict)
    except msgspec.DecodeError:
        raise refusal("model", f"loading it ended the child process ({_ending(child.returncode)})") from None


def _end(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)  # and whatever it may have started
    child.wait()


def _ending(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
