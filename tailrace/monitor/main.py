"""All of `tailrace monitor status` and `report`: read topics and bundles, draw, answer. It writes nothing."""

from collections.abc import Callable
from pathlib import Path

from shared.adapters.kafka.config import client_config
from shared.core.errors import UserError
from shared.core.pipeline import PipelineSpec
from shared.core.ports import Clock
from shared.runtime.clock import SystemClock
from shared.runtime.settings import Settings, read_secret
from tailrace.monitor.bundles import Bundles
from tailrace.monitor.picture import Painter, Picture
from tailrace.monitor.report import report
from tailrace.monitor.status import Status, status
from tailrace.monitor.topics import Topics

TIMEOUT = 30.0  # s


class Monitor:
    """Looks at one pipeline, as often as it is asked to.

    Args:
        spec: the pipeline.
        settings: where Kafka and the bundles are.
        say: told how far a long reading is.
        timeout: s that the broker has for an answer.
        clock: this machine's.
        state: the state folder, with the key that bundles are signed by; None: that of this process.

    Raises:
        UserError: a topic does not exist, or the broker cannot be reached.
    """

    def __init__(
        self, spec: PipelineSpec, settings: Settings, say: Callable[[str], None], *, timeout: float = TIMEOUT,
        clock: Clock | None = None, state: Path | None = None,
    ) -> None:  # fmt: skip
        self._topics = Topics(client_config(settings.kafka, read_secret), spec.name, timeout, say)
        self._bundles, self._painter = Bundles(spec, settings, state), Painter(spec)
        self._clock = clock or SystemClock()

    def picture(self) -> Picture:
        """The present picture.

        Raises:
            UserError: the broker cannot be reached.
            Unavailable: it stops to answer.
        """
        known = self._topics.refresh()
        wanted = {known.champion(), *(card.version for card in known.cards.values())} - {""}
        self._bundles.want(sorted(wanted), known.rollouts.values())
        found = self._bundles
        return self._painter.draw(known, found.subjects, found.manifests, found.refused)

    def status(self, picture: Picture | None = None) -> Status:
        """The present picture as answers; raises what `picture` raises."""
        return status(picture or self.picture(), self._now(), self._topics.ends())

    def report(self) -> str:
        """The page; raises what `picture` raises."""
        picture = self.picture()
        return report(picture, self.status(picture), self._now())

    def _now(self) -> int:
        return round(self._clock.time() * 1_000)


def write_page(page: str, path: Path) -> None:
    """Put a page into a file.

    Raises:
        UserError: its folder does not exist, or may not be written to.
    """
    try:
        path.write_text(page, encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise UserError(f"{path}: {error.strerror}", remedy="name a file in a folder that exists (-o)") from None
