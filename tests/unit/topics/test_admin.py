"""What a broker's refusal means to whoever asks it, without a broker."""

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.reasons import DeniedError, Reasons
from shared.core.errors import UserError

CONF = {"bootstrap.servers": "127.0.0.1:1", "security.protocol": "sasl_ssl"}


class Asked:
    """Answers `list_offsets` with these errors, one a call, and then with offset 7."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)

    def list_offsets(self, wish: dict[TopicPartition, Any], **_: object) -> dict[TopicPartition, Future[Any]]:
        """As of the client."""
        code = self.codes.pop(0) if self.codes else None
        made: dict[TopicPartition, Future[Any]] = {part: Future() for part in wish}
        for future in made.values():
            if code is None:
                future.set_result(SimpleNamespace(offset=7))
            else:
                future.set_exception(KafkaException(KafkaError(code)))
        return made

    def poll(self, _: float) -> None:
        """As of the client."""


def admin(asked: Asked, timeout: float = 5.0) -> KafkaAdmin:
    """An admin whose broker answers like this."""
    made = KafkaAdmin({"bootstrap.servers": "127.0.0.1:1"}, timeout=timeout)
    made._client = asked  # type: ignore[assignment]
    return made


def test_offsets_are_asked_for_again_while_leaders_change() -> None:
    """A broker that is just back knows a new epoch of its partitions before the client does, or after it."""
    asked = Asked(KafkaError.UNKNOWN_LEADER_EPOCH, KafkaError.NOT_LEADER_FOR_PARTITION)
    assert admin(asked).offsets("outputs", iter(range(2)), "end") == {0: 7, 1: 7}
    assert asked.codes == []


def test_leaders_that_go_on_changing_are_an_error_that_says_so() -> None:
    """Not the pipeline's file is to be mended then."""
    with pytest.raises(UserError, match="leader is changing"):
        admin(Asked(*[KafkaError.FENCED_LEADER_EPOCH] * 1_000), timeout=0.0).offsets("outputs", [0], "end")


def test_other_refusals_are_told_at_once() -> None:
    """A topic that does not exist will not come by asking again."""
    asked = Asked(KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.UNKNOWN_TOPIC_OR_PART)
    with pytest.raises(UserError, match="refuses outputs"):
        admin(asked).offsets("outputs", [0], "end")
    assert len(asked.codes) == 1


@pytest.mark.parametrize(
    "said",
    [
        "SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker listener? (after 3ms in state SSL)",
        "sasl_ssl://127.0.0.1:1/bootstrap: Disconnected: SSL connection closed by peer",
    ],
)
def test_a_listener_of_another_protocol_is_told_whatever_the_client_calls_it(said: str) -> None:
    """It may hang up before the client can guess why."""
    reasons = Reasons(CONF)
    reasons.heard(KafkaError(KafkaError._TRANSPORT, said))
    found = reasons.error("no answer", KafkaError._TIMED_OUT, 10.0)
    assert isinstance(found, DeniedError)
    assert "does not speak sasl_ssl" in str(found)
    assert "SECURITY_PROTOCOL (it is sasl_ssl)" in str(found)
