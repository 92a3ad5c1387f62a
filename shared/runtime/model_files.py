"""Where models' keys and verified copies lie, and whether the files of a folder are the ones a manifest lists."""

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from shared.core.bundle import MANIFEST, SIGNATURE, Manifest
from shared.core.bundle_checks import MAX_MANIFEST, MAX_SIGNATURE, check_listing, refusal
from shared.runtime.settings import ModelSettings

_CHUNK = 1 << 20
SIGNING_KEY, PUBLIC_KEY = "signing.pem", "public.pem"


def state_folder(environ: Mapping[str, str] | None = None) -> Path:
    """The folder that survives restarts: `$TAILRACE_STATE`, else `.tailrace` here."""
    env = os.environ if environ is None else environ
    return Path(env.get("TAILRACE_STATE") or ".tailrace").absolute()


def signing_key(settings: ModelSettings, state: Path) -> Path:
    """The trainer's key: as set, else the embedded stack's own."""
    return Path(settings.signing_key_file) if settings.signing_key_file else state / "keys" / SIGNING_KEY


def public_key(settings: ModelSettings, state: Path) -> Path:
    """The scorers' key: as set, else the embedded stack's own."""
    return Path(settings.public_key_file) if settings.public_key_file else state / "keys" / PUBLIC_KEY


def model_cache(settings: ModelSettings, state: Path) -> Path:
    """Where verified copies of bundles are kept."""
    return Path(settings.cache) if settings.cache else state / "models"


def read_small(folder: Path, name: str) -> bytes:
    """The bytes of `manifest.json` or `signature`; empty for a signature that is not there.

    Raises:
        ModelRefused: missing, too large, or no regular file.
    """
    limit = MAX_MANIFEST if name == MANIFEST else MAX_SIGNATURE
    try:
        with open_regular(folder, name) as file:
            content = file.read(limit + 1)
    except FileNotFoundError:
        if name == SIGNATURE:
            return b""
        raise refusal("files", f"the bundle lacks {name}") from None
    if len(content) > limit:
        raise refusal("size", f"{name} is larger than {limit:,} bytes")
    return content


def open_regular(folder: Path, name: str) -> BinaryIO:
    """Open a plain file of a folder for reading, following no link.

    Raises:
        FileNotFoundError: it is not there.
        ModelRefused: it is a link, a folder, a pipe or a device, or cannot be read.
    """
    try:
        # O_NONBLOCK: the opening of a pipe that someone put there must not wait for a writer.
        handle = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise refusal("files", f"{name} cannot be opened as a plain file ({error.strerror})") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise refusal("files", f"{name} is no plain file")
    return os.fdopen(handle, "rb")


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Hold a folder against its verified manifest: names, sizes, then the sha256 of each file.

    Raises:
        ModelRefused: names the first file that is not as listed.
    """
    try:
        sizes = {entry.name: entry.stat(follow_symlinks=False).st_size for entry in os.scandir(folder)}
    except OSError as error:
        raise refusal("files", f"the bundle's folder cannot be read ({error.strerror})") from None
    check_listing(sizes, manifest)
    for name, entry in manifest.files.items():
        if (found := _sha256(folder, name)) != entry.sha256:
            raise refusal("digest", f"{name} hashes to {found[:12]}, the manifest says {entry.sha256[:12]}")


def _sha256(folder: Path, name: str) -> str:
    digest = hashlib.sha256()
    try:
        with open_regular(folder, name) as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise refusal("files", f"{name} cannot be read ({error.strerror})") from None
    return digest.hexdigest()
