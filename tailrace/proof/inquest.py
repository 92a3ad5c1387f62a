"""What holds a partition that stays hidden: asked of the broker by Kafka's own tools, while the stack still stands."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Consumer, TopicPartition

from shared.adapters.kafka.admin import KafkaAdmin
from shared.core.errors import UserError
from shared.core.topics import topic
from tailrace.proof.tape import OUTPUTS
from tailrace.proof.trail import HEADER, Told
from tailrace.stack.cache import cache_folder
from tailrace.stack.jars import provision
from tailrace.stack.kafka import installed, tool
from tailrace.stack.program import Program
from tailrace.stack.stack import Stack

_CLASS = "org.apache.kafka.tools.TransactionsCommand"
_TIMEOUT_S = 60.0
_READ_S = 10.0
_BROKER = "1"  # the embedded one's id
_NONE = "None"
ENDED = frozenset({"Empty", "CompleteAbort", "CompleteCommit", "Dead"})


class Held(msgspec.Struct, frozen=True):
    """A partition that readers under read_committed do not see whole: from `stable` on, of `end`."""

    topic: str
    partition: int
    stable: int
    end: int


class Open(msgspec.Struct, frozen=True):
    """A transaction that a partition takes for open: whose, and where it begins."""

    producer: str
    epoch: str
    start: int


def held(conf: Mapping[str, Any], pipeline: str) -> list[Held]:
    """The partitions of a pipeline's outputs whose last stable offset lies below their end, as of now."""
    admin, found = KafkaAdmin(conf), []
    for name in OUTPUTS:
        full = topic(pipeline, name)  # type: ignore[arg-type] # one of its names
        parts = range(admin.topics([full])[full].partitions)
        ends, stable = admin.offsets(full, parts, "end"), admin.offsets(full, parts, "stable")
        found += [Held(full, p, stable[p], ends[p]) for p in parts if stable[p] < ends[p]]
    return found


class Inquest:
    """Asks who holds partitions. What the tools print stays in the stack's folder of logs, as `inquest-*.log`.

    Args:
        stack: with Kafka up.
        conf: connection settings of the client.
    """

    def __init__(self, stack: Stack, conf: Mapping[str, Any]) -> None:
        self._stack, self._conf = stack, conf
        self._jars = installed() or provision(cache_folder(), stack.supervisor, lambda _: None)

    def hold(self, partitions: Sequence[Held], told: Sequence[Told], when: str) -> list[str]:
        """What is known of each of these, in words.

        Args:
            partitions: what `held` gave.
            told: the workers' trails.
            when: a word for the names of the logs.
        """
        if not partitions:
            return []
        states = {row["ProducerId"]: row for row in self._ask(when, "list")}
        for row in states.values():
            self._ask(f"{when}-{row['TransactionalId']}", "describe", "--transactional-id", row["TransactionalId"])
        self._ask(f"{when}-hanging", "find-hanging", "--broker-id", _BROKER, "--max-transaction-timeout", "1")
        return [self._words(one, states, told, when) for one in partitions]

    def _words(self, one: Held, states: Mapping[str, Mapping[str, str]], told: Sequence[Told], when: str) -> str:
        where = ("--topic", one.topic, "--partition", str(one.partition))
        rows = self._ask(f"{when}-{one.topic}-{one.partition}", "describe-producers", *where)
        said = f"{one.topic}[{one.partition}]: hidden from {one.stable} of {one.end}"
        owner = owner_of(rows, one.stable)
        if owner is None:
            return f"{said}, and no producer has a transaction open there"
        state = states.get(owner.producer)
        return f"{said}, by {blame(owner, state)}; {deeds(self._attempt(one), told)}"

    def _ask(self, name: str, *words: str) -> list[dict[str, str]]:
        argv = tool(self._jars, _CLASS, "--bootstrap-server", self._stack.endpoints.kafka, *words)
        program = Program(f"inquest-{name}-{words[0]}", argv, restart=False)
        try:
            ended = self._stack.supervisor.run(program, _TIMEOUT_S)
        except UserError:  # too slow: what it has printed is in its log, and the verdict must not wait for it
            return []
        return table(ended.log)

    def _attempt(self, one: Held) -> str:
        """The attempt whose message is the first that is hidden; empty where there is none."""
        own = {"group.id": "tailrace-inquest", "enable.auto.commit": False, "isolation.level": "read_uncommitted"}
        consumer = Consumer({**self._conf, **own})
        try:
            consumer.assign([TopicPartition(one.topic, one.partition, one.stable)])
            deadline = time.monotonic() + _READ_S
            while time.monotonic() < deadline:
                message = consumer.poll(0.5)
                if message is not None and message.error() is None:
                    name = dict(message.headers() or []).get(HEADER)
                    return name.decode() if isinstance(name, bytes) else str(name or "")
        finally:
            consumer.close()
        return ""


def table(log: Path) -> list[dict[str, str]]:
    """The rows of a tool's table by its headers. Lines of its own log, which have another form, are left out."""
    lines = [line.split() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    start = next((i for i, words in enumerate(lines) if {"ProducerId", "TransactionalId"} & set(words)), len(lines))
    head = lines[start] if start < len(lines) else []
    return [dict(zip(head, words, strict=True)) for words in lines[start + 1 :] if len(words) == len(head)]


def owner_of(rows: Sequence[Mapping[str, str]], stable: int) -> Open | None:
    """Whose open transaction begins where readers stop; of `describe-producers`."""
    began = [row for row in rows if row.get("CurrentTransactionStartOffset", _NONE) != _NONE]
    opened = [Open(r["ProducerId"], r["ProducerEpoch"], int(r["CurrentTransactionStartOffset"])) for r in began]
    return min((one for one in opened if one.start >= stable), key=lambda one: one.start, default=None)


def blame(owner: Open, state: Mapping[str, str] | None) -> str:
    """Who must end it: a worker or the coordinator, which know of it, or nobody any more."""
    mine = f"producer {owner.producer} in epoch {owner.epoch}, open since {owner.start}"
    if state is None:
        return f"{mine}; its coordinator does not know it: hanging"
    named = f"{mine}; {state['TransactionalId']} is {state['TransactionState']}"
    if state["TransactionState"] in ENDED:
        return f"{named} for its coordinator, so nobody will end it: hanging"
    return named


def deeds(attempt: str, told: Sequence[Told]) -> str:
    """What the worker of an attempt wrote down of it, and what became of that worker."""
    if not attempt:
        return "of no attempt that is known"
    of = [one for one in told if one.attempt == attempt]
    faults = [t for t in told if of and t.pid == of[0].pid and t.what in {"fault", "woke"} and t.at >= of[0].at]
    steps = [f"{one.what} {one.text}".strip() + f" at {one.at:.3f}" for one in (*of, *faults)]
    return f"attempt {attempt}: {', '.join(steps) or 'nothing told'}"
