"""Fetch jars by jgo, in a process of its own: `python -m tailrace.stack.fetch_jars FOLDER COORDINATE...`.

A process of its own because jgo takes certificates and proxies from the environment, which we complete for
it alone, and because it can be ended at any moment. `--lock` resolves the dependencies anew and prints the
lock file; nothing else ever resolves: a lock names every jar.
"""

import hashlib
import os
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jgo.maven import MavenContext

# Not 4.3: a broker of it that dies forgets transactions (KAFKA-20734; docs/proof.md).
ROOTS = (
    "org.apache.kafka:kafka_2.13:4.2.1",
    "org.apache.kafka:kafka-tools:4.2.1",
    # Kafka logs through slf4j and brings no implementation; this one writes to standard error.
    "org.slf4j:slf4j-simple:1.7.36",
)
_PARALLEL = 6
_TIMEOUT_S = 30


def _context(cache: Path) -> "MavenContext":
    from jgo.config import GlobalSettings  # noqa: PLC0415 - only this process pays for jgo
    from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415 - the same
    from jgo.maven import MavenContext  # noqa: PLC0415 - the same

    mirror = os.environ.get("TAILRACE_MAVEN_URL")
    repositories = (
        {"mirror": mirror} if mirror else {**GlobalSettings.load().repositories, "central": MAVEN_CENTRAL_URL}
    )
    return MavenContext(repo_cache=cache, local_repos=[], remote_repos=repositories, timeout=_TIMEOUT_S)


def fetch(folder: Path, coordinates: list[str]) -> None:
    """Fetch jars, several at a time, each renamed into `folder` when it is complete."""
    with tempfile.TemporaryDirectory(dir=folder) as work:
        context = _context(Path(work))

        def one(coordinate: str) -> None:
            group, artifact, version = coordinate.split(":")
            got = context.project(group, artifact).at_version(version).artifact().resolve()
            got.replace(folder / f"{artifact}-{version}.jar")

        with ThreadPoolExecutor(_PARALLEL) as pool:
            list(pool.map(one, coordinates))


def lock() -> list[str]:
    """Resolve the roots and fetch everything once.

    Returns:
        Lines `sha256  group:artifact:version`, sorted by coordinate.
    """
    from jgo.parse import Coordinate  # noqa: PLC0415 - only this process pays for jgo

    work = Path(tempfile.mkdtemp())
    try:
        context = _context(work)
        roots = [context.create_dependency(Coordinate.parse(root)) for root in ROOTS]
        inputs, others = context.resolver.resolve(roots)
        lines = {}
        for one in (*inputs, *others):
            digest = hashlib.sha256(one.artifact.resolve().read_bytes()).hexdigest()
            lines[f"{one.groupId}:{one.artifactId}:{one.version}"] = digest
        return [f"{digest}  {coordinate}" for coordinate, digest in sorted(lines.items())]
    finally:
        shutil.rmtree(work)


def main(arguments: list[str]) -> int:
    """Fetch, or print the lock; 0 if all is well, 1 with one line of cause if not."""
    try:
        if arguments == ["--lock"]:
            sys.stdout.write("\n".join(lock()) + "\n")
        else:
            fetch(Path(arguments[0]), arguments[1:])
    except Exception as error:  # noqa: BLE001 - whatever jgo and its network raise becomes one line for the parent
        sys.stderr.write(f"cause: {type(error).__name__}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
