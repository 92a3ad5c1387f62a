"""Fetching bundles: known file names only, capped while they stream, into `<cache>/<digest>` by one rename.

The manifest is verified by digest and signature before any other file is asked for. What is in the cache is verified
again before use, so that a registry that is down stops nobody, and a damaged copy is fetched anew.
"""

import base64
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from shared.core.bundle import MANIFEST, SIGNATURE, Manifest
from shared.core.bundle_checks import MAX_MANIFEST, MAX_SIGNATURE, refusal, verify_digest
from shared.core.errors import ModelRefused, Unavailable
from shared.core.ports import Clock
from shared.core.records import BundleRef
from shared.runtime.model_files import open_regular, read_small, verify_files
from shared.runtime.settings import MlflowSettings, read_secret

_CHUNK = 1 << 16
_NOT_FOUND = 404
_LOCK_WAIT = 0.05
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
Check = Callable[[bytes, bytes], Manifest]
"""Verifies (manifest, signature) and gives the parsed manifest; raises ModelRefused."""


class _NoRedirect(HTTPRedirectHandler):
    """A registry that sends us elsewhere, perhaps with our password, is not followed."""

    def redirect_request(self, *_: object) -> None:
        return None


class Fetcher:
    """Brings bundles into the cache folder.

    Args:
        cache: folder of verified copies, shared by the workers of a node.
        mlflow: whose password goes to its own address and nowhere else.
        clock: for deadlines.
        sleep: waits so many seconds while another worker fetches the same bundle.
    """

    def __init__(self, cache: Path, mlflow: MlflowSettings, clock: Clock, sleep: Callable[[float], None]) -> None:
        self._cache, self._mlflow, self._clock, self._sleep = cache, mlflow, clock, sleep

    def fetch(self, ref: BundleRef, check: Check, seconds: float) -> tuple[Path, Manifest]:
        """The folder of a bundle whose every file is as its signed manifest says.

        Args:
            ref: version, address (file, http or https) and digest.
            check: verifies the signature and the manifest's content.
            seconds: how long it may take.

        Raises:
            ModelRefused: what is there is not what was announced and signed.
            Unavailable: the address does not answer in time, or breaks off.
        """
        target = self._cache / ref.digest
        deadline = self._clock.monotonic() + seconds
        self._cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._only_one(ref.digest, deadline):
            if target.is_dir():
                try:
                    return target, _verify(target, ref, check)
                except ModelRefused:
                    shutil.rmtree(target)  # a damaged copy; the original may be sound
            beside = Path(tempfile.mkdtemp(prefix=f".{ref.digest[:16]}-", dir=self._cache))
            try:
                manifest = self._bring(ref, beside, check, deadline)
                beside.rename(target)
            finally:
                shutil.rmtree(beside, ignore_errors=True)
        return target, manifest

    @contextmanager
    def _only_one(self, digest: str, deadline: float) -> Iterator[None]:
        """Eight workers that hear of one version at once fetch it once."""
        with (self._cache / f".{digest}.lock").open("w") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if self._clock.monotonic() > deadline:
                        raise Unavailable("another worker has not finished fetching the same bundle") from None
                    self._sleep(_LOCK_WAIT)
            yield

    def _bring(self, ref: BundleRef, into: Path, check: Check, deadline: float) -> Manifest:
        parts = urlsplit(ref.uri)
        if parts.scheme == "file" and parts.netloc in {"", "localhost"}:
            source = Path(unquote(parts.path))
            manifest = _verify(source, ref, check)
            for name in (MANIFEST, SIGNATURE, *manifest.files):
                with open_regular(source, name) as file:
                    _copy(file, into / name, _cap(name, manifest), self._until(deadline))
        elif parts.scheme in {"http", "https"} and parts.hostname:
            manifest = self._download(ref, into, check, deadline)
        else:
            raise refusal("reference", f"bundles come by file, http or https, not {parts.scheme[:20]!a}")
        verify_files(into, manifest)
        return manifest

    def _download(self, ref: BundleRef, into: Path, check: Check, deadline: float) -> Manifest:
        for name, cap in ((MANIFEST, MAX_MANIFEST), (SIGNATURE, MAX_SIGNATURE)):
            self._get(ref.uri, name, into, cap, deadline)
        manifest = _checked(into, ref, check)
        for name, entry in manifest.files.items():
            self._get(ref.uri, name, into, entry.size, deadline)
            if (got := (into / name).stat().st_size) < entry.size:
                raise Unavailable(f"{name} broke off after {got:,} of {entry.size:,} bytes")
        return manifest

    def _get(self, base: str, name: str, into: Path, cap: int, deadline: float) -> None:
        url = f"{base.rstrip('/')}/{quote(name)}"
        left = deadline - self._clock.monotonic()
        if left <= 0:
            raise Unavailable(f"no time left to fetch {name}")
        handlers: list[HTTPRedirectHandler | ProxyHandler] = [_NoRedirect()]
        if urlsplit(url).hostname in _LOOPBACK:
            handlers.append(ProxyHandler({}))
        request = Request(url, headers=self._credentials(url))  # noqa: S310 - the scheme was checked in _bring
        try:
            with build_opener(*handlers).open(request, timeout=left) as response:
                _copy(response, into / name, cap, self._until(deadline))
        except HTTPError as error:
            if error.code == _NOT_FOUND:
                raise refusal("files", f"{name} is not at the announced address") from None
            raise Unavailable(f"{name}: the registry answers {error.code}") from None
        except (URLError, HTTPException, OSError) as error:
            raise Unavailable(f"{name}: the registry does not answer ({error})") from None

    def _credentials(self, url: str) -> dict[str, str]:
        ours, asked = urlsplit(self._mlflow.url), urlsplit(url)
        same = (ours.scheme, ours.hostname, ours.port) == (asked.scheme, asked.hostname, asked.port)
        if not self._mlflow.username or not same:
            return {}
        file = self._mlflow.password_file
        password = read_secret(file, setting="TAILRACE_MLFLOW__PASSWORD_FILE") if file else ""
        pair = f"{self._mlflow.username}:{password}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}

    def _until(self, deadline: float) -> Callable[[], None]:
        def check() -> None:
            if self._clock.monotonic() > deadline:
                raise Unavailable("fetching the bundle took too long")

        return check


def _verify(folder: Path, ref: BundleRef, check: Check) -> Manifest:
    manifest = _checked(folder, ref, check)
    verify_files(folder, manifest)
    return manifest


def _checked(folder: Path, ref: BundleRef, check: Check) -> Manifest:
    content = read_small(folder, MANIFEST)
    verify_digest(content, ref.digest)
    return check(content, read_small(folder, SIGNATURE))


def _cap(name: str, manifest: Manifest) -> int:
    entry = manifest.files.get(name)
    return MAX_MANIFEST if entry is None else entry.size


def _copy(source: BinaryIO, target: Path, cap: int, tick: Callable[[], None]) -> None:
    left = cap
    with target.open("xb") as file:
        while chunk := source.read(min(_CHUNK, left + 1)):
            left -= len(chunk)
            if left < 0:
                raise refusal("size", f"{target.name} is larger than its {cap:,} bytes")
            file.write(chunk)
            tick()
        file.flush()
        os.fsync(file.fileno())
