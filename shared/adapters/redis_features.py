"""Features in Redis (or Valkey): a writer that merges versions atomically, a reader with a hard deadline.

The only user of the `redis` library. Both raise `Unavailable` for whatever the server or the network may do.
"""

import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import redis
from redis.backoff import NoBackoff
from redis.connection import Connection, parse_url
from redis.exceptions import AuthenticationError, NoScriptError
from redis.retry import Retry

from shared.core.errors import Unavailable, UserError
from shared.core.pipeline import LookupSpec
from shared.core.records import FeatureUpdate
from shared.core.versions import MAX_VALUE, encode_version, entity_key

Outcome = Literal["newer", "older", "duplicate"]
_OUTCOMES: Mapping[int, Outcome] = {ord("n"): "newer", ord("o"): "older", ord("d"): "duplicate"}
_SCRIPT = Path(__file__).with_name("merge_versions.lua")
_CHUNK = 1_000
"""Lines that one call of the script merges: a script blocks the server for all others."""
_SWAP = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) end"


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where Redis is and who asks: a `redis://`, `rediss://` (TLS) or `unix://` URL; secrets are read from files."""

    url: str
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""

    def options(self) -> dict[str, Any]:
        """What the client library wants to know.

        Raises:
            UserError: the URL is none; names the setting, and never a password.
        """
        try:
            options: dict[str, Any] = dict(parse_url(self.url))  # type: ignore[no-untyped-call]  # theirs
        except ValueError as error:
            raise UserError(f"redis.url: {error}", remedy="write redis://HOST:PORT/0 or rediss://...") from None
        options |= {name: value for name in ("username", "password") if (value := getattr(self, name))}
        if self.ca_file:
            options["ssl_ca_certs"] = self.ca_file
        return options | {"retry": Retry(NoBackoff(), 0), "protocol": 2}  # one attempt: whoever calls has the retries


class RedisWriter:
    """Merges feature updates into Redis, idempotently.

    An older update never replaces a newer one; of equal times the one that is written later counts, so a replay in log
    order ends where it ended before; one that is stored already changes nothing. Nothing expires: `keep` bounds memory.

    Args:
        address: where Redis is.
        pipeline: its name, part of every key.
        specs: the lookup groups by name.
        timeout: seconds that one read or write of the socket may take.
    """

    def __init__(
        self, address: RedisAddress, pipeline: str, specs: Mapping[str, LookupSpec], *, timeout: float = 5.0
    ) -> None:
        options = address.options() | {"socket_timeout": timeout, "socket_connect_timeout": timeout}
        kind = options.pop("connection_class", Connection)
        self._redis = redis.Redis(connection_pool=redis.ConnectionPool(connection_class=kind, **options))
        self._pipeline, self._specs = pipeline, specs
        self._sha = ""

    def write(self, updates: Sequence[FeatureUpdate]) -> list[Outcome]:
        """Write validated updates in log order, in one round trip.

        Returns:
            For each update: `newer` (of the newest time so far), `older` (kept behind, or beyond what is kept) or
            `duplicate` (nothing changed).

        Raises:
            Unavailable: Redis is away, full, read-only or refuses; any part may be written, so write all again.
        """
        results: list[Outcome] = ["older"] * len(updates)
        calls = list(self._calls(updates, results))
        try:
            replies = self._run([(key, *args) for key, args, _ in calls])
        except (redis.RedisError, OSError) as error:
            raise Unavailable(f"Redis does not take feature updates: {error}") from error
        for (_, _, indices), reply in zip(calls, replies, strict=True):
            for index, code in zip(indices, reply, strict=True):
                results[index] = _OUTCOMES[code]
        return results

    def markers(self, partitions: Sequence[int]) -> list[str]:
        """The marker of each partition of the topic that Redis is filled from; empty where there is none.

        Raises:
            Unavailable: Redis is away or refuses; so with `mark` and `swap`.
        """
        if not partitions:
            return []
        with _as_unavailable():
            found: Any = self._redis.mget([self._marker(p) for p in partitions])
            return [(marker or b"").decode("ascii", "replace") for marker in found]

    def mark(self, partitions: Sequence[int], marker: str) -> None:
        """Set the markers of these partitions."""
        with _as_unavailable():
            self._redis.mset({self._marker(p): marker for p in partitions})

    def swap(self, partitions: Sequence[int], old: str, new: str) -> None:
        """Set the markers that are `old`; others stay as they are, and so does the absence of one."""
        with _as_unavailable():
            for partition in partitions:
                self._redis.eval(_SWAP, 1, self._marker(partition), old, new)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _marker(self, partition: int) -> str:
        return f"tailrace:{{{self._pipeline}}}:~filled:{partition}"  # no group can have this name

    def _calls(
        self, updates: Sequence[FeatureUpdate], results: list[Outcome]
    ) -> "list[tuple[str, list[bytes | int], list[int]]]":
        """One call or more an entity: key, arguments, and which updates its lines are."""
        entities: dict[tuple[str, str], dict[int, tuple[int, bytes]]] = {}
        for index, update in enumerate(updates):
            line = encode_version(update, self._specs[update.group].schema_version)
            versions = entities.setdefault((update.group, update.entity), {})
            before = versions.get(update.time)
            if before is not None and before[1] == line:
                results[before[0]] = "duplicate"
            versions[update.time] = (index, line)
        calls: list[tuple[str, list[bytes | int], list[int]]] = []
        for (group, entity), versions in entities.items():
            spec, key = self._specs[group], entity_key(self._pipeline, group, entity)
            rows = [versions[at] for at in sorted(versions, reverse=True)]
            for start in range(0, len(rows), _CHUNK):
                chunk = rows[start : start + _CHUNK]
                bounds = [round(spec.keep * 1_000), spec.max_versions, MAX_VALUE]
                calls.append((key, [*bounds, *(line for _, line in chunk)], [index for index, _ in chunk]))
        return calls

    def _run(self, calls: Sequence[tuple[Any, ...]]) -> list[bytes]:
        if not self._sha:
            self._load()
        replies = self._execute(calls)
        if any(isinstance(reply, NoScriptError) for reply in replies):
            self._load()  # a server that was restarted has forgotten the script; running all again is harmless
            replies = self._execute(calls)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    def _load(self) -> None:
        self._sha = str(self._redis.script_load(_SCRIPT.read_text(encoding="ascii")))

    def _execute(self, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        pipe = self._redis.pipeline(transaction=False)
        for call in calls:
            pipe.evalsha(self._sha, 1, *call)
        return pipe.execute(raise_on_error=False)


@contextmanager
def _as_unavailable() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise Unavailable(f"Redis: {error}") from error


class _TimedSocket:
    """A socket on which all reads and writes together end at one moment, however slowly the bytes trickle in."""

    def __init__(self, sock: socket.socket, left: Callable[[], float]) -> None:
        self._sock, self._left = sock, left

    def recv_into(self, buffer: bytearray) -> int:
        self._sock.settimeout(self._left())
        return self._sock.recv_into(buffer)

    def recv(self, size: int) -> bytes:
        self._sock.settimeout(self._left())
        return self._sock.recv(size)

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(self._left())
        self._sock.sendall(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class RedisReader:
    """Reads values by key, each call within its own deadline, over one connection of its own. Not for many threads.

    Args:
        address: where Redis is.
        monotonic: the clock of the deadline (s).
    """

    def __init__(self, address: RedisAddress, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        # No CLIENT SETINFO: connecting costs no round trip. (The writer's pool needs one: it takes the session tickets
        # that a TLS server sends unasked for a reply nobody waited for, unless a first exchange has read them.)
        options = address.options() | {"driver_info": None}
        kind: Any = options.pop("connection_class", Connection)  # plain, TLS or unix, as the URL says
        left = self._left

        class Timed(kind):  # type: ignore[misc]  # its base is only known now
            def _connect(self) -> Any:
                return _TimedSocket(super()._connect(), left)

        self._monotonic = monotonic
        self._until = 0.0
        self._connection: Any = Timed(**options)

    def mget(self, keys: Sequence[str], timeout: float) -> list[bytes | None]:
        """The values in the order of the keys, None where there is none, b"" for one that is too large to be ours.

        Raises:
            TimeoutError: the reply was not whole after `timeout` seconds.
            Unavailable: Redis is away or refuses.
        """
        reply = self._call(timeout, "MGET", *keys)
        if not isinstance(reply, list) or len(reply) != len(keys):
            self.close()
            raise Unavailable("Redis gave a reply of another length than was asked for")
        return [b"" if value is not None and len(value) > MAX_VALUE else value for value in reply]

    def check(self, timeout: float) -> None:
        """Connect and ask for a sign of life, before a first batch has to wait for it.

        Raises:
            UserError: the user, the password or the trust in the server's certificate is wrong.
            TimeoutError, Unavailable: as `mget`.
        """
        try:
            self._call(timeout, "PING")
        except Unavailable as error:
            if isinstance(error.__cause__, AuthenticationError):
                remedy = "mend redis.username and redis.password_file"
                raise UserError(f"Redis refuses the login: {error.__cause__}", remedy=remedy) from None
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                remedy = "name the file of the authority that signed it in redis.ca_file"
                raise UserError("Redis shows a certificate that is not trusted", remedy=remedy) from None
            raise

    def close(self) -> None:
        """Drop the connection; the next call makes a new one."""
        with suppress(redis.RedisError, OSError):
            self._connection.disconnect()

    def _call(self, timeout: float, *command: str) -> Any:
        self._until = self._monotonic() + timeout
        try:
            if self._connection.is_connected:
                try:
                    return self._exchange(command)
                except redis.ConnectionError:
                    pass  # the server closed it while nobody asked, as at its restart: that is no fault yet
            return self._exchange(command)
        except (redis.TimeoutError, TimeoutError) as error:
            raise TimeoutError(f"no reply from Redis within {timeout} s") from error
        except (redis.RedisError, OSError) as error:
            raise Unavailable(f"Redis: {error}") from error

    def _exchange(self, command: tuple[str, ...]) -> Any:
        whole = False
        try:
            if not self._connection.is_connected:
                self._connection.socket_timeout = self._connection.socket_connect_timeout = self._left()
                self._connection.connect()
            self._connection.send_command(*command)
            reply = self._connection.read_response()
            whole = True
        finally:
            if not whole:  # the rest of the reply may still come: it must never meet the next question
                self.close()
        return reply

    def _left(self) -> float:
        left = self._until - self._monotonic()
        if left <= 0:
            raise TimeoutError
        return left
