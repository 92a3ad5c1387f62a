"""Looking at MLflow now and then, and correcting what it says, in a thread of its own: it may hang or be away."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from services.retrainer.rollout.wishes import Op, Wish
from shared.core.errors import TailraceError
from shared.core.ports import Clock
from shared.core.registry import REFUSED_TAG, VersionInfo
from shared.runtime.logs import get_logger

FRESH_S = 10.0  # corrections that are older were decided on what may have changed since: a frozen process wakes


class Aliases(Protocol):
    """What is needed of a registry; `shared.adapters.mlflow_models.Registry` is one."""

    def aliases(self, name: str) -> Mapping[str, str]:
        """The version behind each alias."""

    def versions(self, name: str) -> Sequence[VersionInfo]:
        """Every version."""

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Let an alias name a version."""

    def drop_alias(self, name: str, alias: str) -> None:
        """Let an alias name nothing."""

    def tag(self, name: str, version: str, key: str, value: str) -> None:
        """Write a tag of a version."""


class RegistryWatch:
    """Keeps the last answer of the registry; without one, whoever asks goes on with what it has.

    Args:
        connect: opens the registry; called in the thread, since it takes seconds.
        name: of the model.
        every: s between looks.
        clock: how old corrections are.
        told: how the registry is, each time: whether it answered, and what it said if not.
    """

    def __init__(
        self, connect: Callable[[], Aliases], name: str, every: float, clock: Clock,
        told: Callable[[bool, str], None] = lambda _ok, _why: None,
    ) -> None:  # fmt: skip
        self._connect, self._name, self._every, self._clock, self._told = connect, name, every, clock, told
        self._registry: Aliases | None = None
        self._ops: tuple[float, Sequence[Op], Mapping[str, str]] = (0.0, (), {})
        self._done = threading.Event()
        self._log = get_logger("mlflow")
        self.wish: Wish | None = None

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._run, name="mlflow", daemon=True).start()

    def stop(self) -> None:
        """Look no more; what is under way is not waited for."""
        self._done.set()

    def correct(self, ops: Sequence[Op], wish: Wish) -> None:
        """What must change where the registry still says this; it takes the place of what was said before."""
        self._ops = (self._clock.monotonic(), ops, wish.aliases)

    def look(self) -> None:
        """One look, and corrections if what they were decided on is still so."""
        try:
            if self._registry is None:
                self._registry = self._connect()
            aliases = dict(self._registry.aliases(self._name))
            if self._apply(self._registry, aliases):
                aliases = dict(self._registry.aliases(self._name))
            versions = {info.version: info for info in self._registry.versions(self._name)}
        except TailraceError as error:
            self._told(False, f"MLflow does not answer; what is in force stays so ({error})")
            return
        self.wish = Wish(aliases, {} if self.wish is None else self.wish.aliases, versions)
        self._told(True, "MLflow answers")

    def _apply(self, registry: Aliases, aliases: Mapping[str, str]) -> bool:
        said, ops, seen = self._ops
        self._ops = (0.0, (), {})
        if not ops or aliases != seen or self._clock.monotonic() - said > FRESH_S:
            return False
        for op in ops:
            if op.what == REFUSED_TAG:
                registry.tag(self._name, op.version, REFUSED_TAG, op.value)
            elif op.version:
                registry.set_alias(self._name, op.what, op.version)
            else:
                registry.drop_alias(self._name, op.what)
            self._log.info("corrected", what=op.what, version=op.version)
        return True

    def _run(self) -> None:
        while True:
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - a client's surprise must not end the thread that all wishes come by
                self._told(False, f"MLflow: {type(error).__name__}: {error}")
            if self._done.wait(self._every):
                return
