"""A scoring program watched from outside: its processor time beside the broker's times of its outputs.

Frameworks commit when they please, and some not at all; so all are measured by their outputs, ours too.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined] # theirs is not re-exported

from shared.core.errors import UserError
from tailrace.bench.process import cpu_seconds, peak_mb

LOOK_S, SETTLE_S, GIVE_UP_S = 0.05, 1.5, 20.0
WARM = 0.1  # share of the outputs: the second such share has the end of the first batch that is left out


@dataclass(frozen=True, slots=True)
class Watched:
    """Samples of a process: wall time (s), its processor seconds so far; and its peak memory (MB)."""

    at: Sequence[float]
    cpu: Sequence[float]
    rss_mb: float


@dataclass(frozen=True, slots=True)
class Speed:
    """Records, seconds and processor seconds between the first outputs and the last one."""

    n: int
    seconds: float
    cpu: float


def ends(client: AdminClient, topic: str, partitions: int) -> int:
    """Messages that a read_committed reader could have read by now, with transaction markers; 0 without an answer."""
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call] # the client has no types there
    wanted = {TopicPartition(topic, number): latest for number in range(partitions)}
    try:
        answers = client.list_offsets(wanted, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=10)
        return sum(answer.result().offset for answer in answers.values())
    except KafkaException:
        return 0


def watch(pid: Callable[[], int | None], seen: Callable[[], int], total: int, timeout: float) -> Watched:
    """Sample a process until its outputs are there and no more come.

    Args:
        pid: of the process; None while it does not run.
        seen: outputs so far.
        total: how many are expected; fewer are taken for the end once nothing came for `GIVE_UP_S`.
        timeout: s for all of it.

    Raises:
        UserError: it ended, wrote nothing, or did not come to rest in time.
    """
    deadline, changed, last, alive = time.monotonic() + timeout, time.monotonic(), 0, 0
    at, cpu = list[float](), list[float]()
    while True:
        process = pid()
        if process is not None:
            at.append(time.time())
            cpu.append(cpu_seconds(process))
            alive = process
        count, now = seen(), time.monotonic()
        if count != last:
            last, changed = count, now
        if last and now - changed > (SETTLE_S if last >= total else GIVE_UP_S):
            return Watched(at, cpu, peak_mb(alive))
        if now > deadline:
            raise UserError(f"{last:,} of {total:,} outputs after {timeout:g} s", remedy="see its log")
        time.sleep(LOOK_S)


def speed(times: Sequence[float], watched: Watched) -> Speed:
    """Rate and cost from the end of an early batch to the last output, so that whole batches are counted.

    An early batch ends before the longest pause within the second `WARM` of the outputs; a program without batches
    has only short ones there, any of which will do.

    Args:
        times: append times in s, in rising order; at least twenty.
        watched: samples over the same time.
    """
    warm = math.ceil(len(times) * WARM)
    pauses = np.diff(times[warm - 1 : 2 * warm])
    first = warm + int(np.argmax(pauses))
    begin, end = times[first - 1], times[-1]
    used = np.interp([begin, end], watched.at, watched.cpu)
    return Speed(len(times) - first, end - begin, float(used[1] - used[0]))
