"""What every partition of a pipeline is folded by."""

from dataclasses import dataclass

from services.monitor.observer.describe import Describer, Profiles
from services.monitor.observer.entries import Reader
from services.monitor.observer.scorecard import Summer
from services.monitor.observer.watermark import Terms, terms_of
from shared.core.judging import Judge, judge_of
from shared.core.pipeline import PipelineSpec

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Rules:
    """The parts that the fold is made of; `rate` is the sample's share in millionths."""

    reader: Reader
    terms: Terms
    judge: Judge
    describer: Describer
    summer: Summer
    rate: int


def rules_of(spec: PipelineSpec, profiles: Profiles) -> Rules:
    """The rules of a pipeline.

    Args:
        spec: the pipeline.
        profiles: the reference of each version.
    """
    describer = Describer(spec, profiles)
    rate = round(spec.monitoring.sample * MILLION)
    return Rules(
        Reader(spec, describer.row_type), terms_of(spec), judge_of(spec), describer, Summer(spec, describer), rate
    )
