"""A challenger that must not stay: trained on shuffled labels, registered, and named past the gate by hand."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from services.retrainer.announce import announcing
from services.retrainer.dataset import Files, load_dataset
from services.retrainer.learn import learn
from services.retrainer.main import register, signer_of
from services.retrainer.registry import registry_of
from shared.core.codec import RecordCodec
from shared.core.pipeline import PipelineSpec
from shared.core.registry import CHALLENGER
from shared.runtime.clock import SystemClock
from shared.runtime.settings import Settings


def force_bad(
    spec: PipelineSpec, settings: Settings, files: Files, until: int, state: Path, seed: int, say: Callable[[str], None]
) -> str:
    """Make it and let the alias `challenger` name it, as somebody would who goes around the gate.

    Args:
        spec: the pipeline.
        settings: with the stack's addresses.
        files: its history.
        until: event time (ms) before which it learns.
        state: the stack's state folder, with the signing key.
        seed: of the shuffling.
        say: told what takes time.

    Returns:
        Its version.

    Raises:
        Unavailable: registry or broker does not answer.
    """
    codec = RecordCodec(spec)
    data = load_dataset(spec, codec, files, until=until, progress=_silent)
    shuffled = replace(data, y=np.random.default_rng(seed).permutation(data.y))
    say(f"training a challenger on {len(data):,} records whose labels are shuffled")
    learned = learn(spec, codec, shuffled, _silent)
    registry = registry_of(settings)
    ref, _ = register(registry, learned, signer_of(settings, state), tags={"tailrace.demo": "shuffled labels"})
    with announcing(spec, settings, SystemClock()) as announce:
        announce(ref)
    registry.set_alias(spec.name, CHALLENGER, ref.version)
    return ref.version


def _silent(_: str) -> None:
    pass
