"""Kafka's errors in our words, by the client's own flags and nothing else."""

from confluent_kafka import KafkaError, KafkaException

from shared.core.errors import Abortable, Fatal, Fenced, LogError, Retriable

FENCED = frozenset({KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED})  # noqa: SLF001 - public by documentation
# The log was out of reach or the group moved on: no sign that the batch itself is at fault.
TRANSIENT = frozenset(
    {
        KafkaError._TIMED_OUT,  # noqa: SLF001 - the same
        KafkaError._TRANSPORT,  # noqa: SLF001 - the same
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001 - the same
        KafkaError._MSG_TIMED_OUT,  # noqa: SLF001 - the same
        KafkaError._PURGE_QUEUE,  # noqa: SLF001 - the same
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.CONCURRENT_TRANSACTIONS,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.INVALID_TXN_STATE,
        *FENCED,
    }
)


def classify(error: KafkaException) -> LogError:
    """What may follow a failed call.

    `retriable` is asked first, then `txn_requires_abort`; `fatal`, or none of the three, is the end of this producer.
    """
    cause = error.args[0]
    said = f"{cause.name()}: {cause.str()}"
    transient = cause.code() in TRANSIENT
    if cause.retriable():
        return Retriable(said, transient=True)
    if cause.txn_requires_abort():
        return Abortable(said, transient=transient)
    if cause.code() in FENCED:
        return Fenced(said, transient=True)
    return Fatal(said, transient=transient)
