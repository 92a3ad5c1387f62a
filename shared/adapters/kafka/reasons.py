"""Why a client cannot work with a broker, in words that name the address and the setting to mend."""

import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError

from shared.core.errors import UserError

# A refusal may pass (a broker that has just started knows no users yet), but not for long: no need to wait for the end.
GRACE_S = 2.0
FORBIDDEN = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)
RIGHTS = 'give this user the rights that docs/operations.md lists under "Rights"'
_REFUSED = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED})  # noqa: SLF001 - public codes
_UNSAFE = frozenset({KafkaError._SSL})  # noqa: SLF001 - the same
_HUNG_UP = KafkaError._ALL_BROKERS_DOWN  # noqa: SLF001 - the same
SILENT = frozenset({KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._RESOLVE, _HUNG_UP})  # noqa: SLF001 - the same
# The client's guess, "connecting to a PLAINTEXT broker listener?", and what it says if it was hung up on before that.
_OTHER_PROTOCOL = ("listener?", "SSL connection closed by peer")
_SETTING = "TAILRACE_KAFKA__"


class DeniedError(UserError):
    """A broker is there, but these settings do not open it: password, certificate or protocol."""


class Reasons:
    """Remembers what a client says of its connections; `heard` is its `error_cb`.

    Args:
        conf: from `client_config`; its address and protocol are named in errors.
    """

    def __init__(self, conf: Mapping[str, Any]) -> None:
        self._address = str(conf.get("bootstrap.servers", ""))
        self._protocol = str(conf.get("security.protocol", "plaintext"))
        self._last: KafkaError | None = None
        self._since = 0.0

    def heard(self, error: KafkaError) -> None:
        """Take in an error; the client calls it while it is polled."""
        # "All brokers down" follows every other reason and says less; nothing says more than a refusal.
        if not _refuses(error) and (self._since or (error.code() == _HUNG_UP and self._last is not None)):
            return
        if _refuses(error) and not self._since:
            self._since = time.monotonic()
        self._last = error

    def forget(self) -> None:
        """A call was answered: what was heard before explains nothing any more."""
        self._last, self._since = None, 0.0

    def explains(self, code: int) -> bool:
        """Whether a call that failed with this code failed for its connection."""
        return self._last is not None or code in SILENT

    def hopeless(self) -> bool:
        """Whether the connection is refused and has been so for a while."""
        return self._since > 0 and time.monotonic() - self._since > GRACE_S

    def error(self, said: str, code: int, seconds: float) -> UserError:
        """The error of a call that was not answered.

        Args:
            said: the client's words for the call itself; used if nothing was heard of the connection.
            code: of the call.
            seconds: how long it was waited for.
        """
        last = self._last
        reason, code = (_short(last.str()), last.code()) if last is not None else (said, code)
        if code in _REFUSED:
            return DeniedError(f"Kafka at {self._address} lets us not in ({reason})", remedy=self._mend("SASL_*"))
        if code in _UNSAFE:
            host = f"the host in {_SETTING}BOOTSTRAP_SERVERS must be one that the certificate names"
            what = f"no safe connection to Kafka at {self._address} ({reason})"
            return DeniedError(what, remedy=f"mend the {_SETTING}SSL_* settings; {host}")
        if code == _HUNG_UP:
            what = f"what listens at {self._address} hangs up: no Kafka, or not one for {self._protocol} ({reason})"
            return DeniedError(what, remedy=self._mend("BOOTSTRAP_SERVERS"))
        if any(words in reason for words in _OTHER_PROTOCOL):
            what = f"Kafka at {self._address} does not speak {self._protocol} ({reason})"
            return DeniedError(what, remedy=self._mend("BOOTSTRAP_SERVERS"))
        what = f"no Kafka answers at {self._address} within {seconds:g} s ({reason})"
        return UserError(what, remedy=f"start one (`tailrace up`), or mend {_SETTING}BOOTSTRAP_SERVERS")

    def _mend(self, name: str) -> str:
        return f"mend {_SETTING}{name} or {_SETTING}SECURITY_PROTOCOL (it is {self._protocol})"


def _refuses(error: KafkaError) -> bool:
    # Not the guess at another protocol: the client makes it of a broker that dies while it connects, too.
    return error.code() in _REFUSED | _UNSAFE


def _short(said: str) -> str:
    """Without the time of this one attempt, and without advice in the client's own names."""
    return said.partition(" (after ")[0].partition(", verify that ")[0]
