"""Where downloads are kept between runs, and the certificates to fetch them with."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from shared.core.errors import UserError

_SYSTEM_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
_BUNDLE_SETTINGS = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The cache: $TAILRACE_CACHE, else $XDG_CACHE_HOME/tailrace, else ~/.cache/tailrace, else ./.tailrace/cache."""
    if given := environ.get("TAILRACE_CACHE"):
        return Path(given).absolute()
    if shared := environ.get("XDG_CACHE_HOME"):
        return Path(shared).absolute() / "tailrace"
    if home := environ.get("HOME"):
        return Path(home).absolute() / ".cache" / "tailrace"
    return Path.cwd() / ".tailrace" / "cache"


def system_certificates(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Settings that make Python's HTTP clients trust what the system trusts, where they are not set.

    A company proxy that opens TLS is known to the system's bundle only; `requests` looks at its own.
    """
    for bundle in _SYSTEM_BUNDLES:
        if Path(bundle).is_file():
            return {name: bundle for name in _BUNDLE_SETTINGS if not environ.get(name)}
    return {}


def check_space(folder: Path, needed_mb: int, setting: str) -> None:
    """Refuse to start on a disk that is nearly full.

    Args:
        folder: where we are going to write; need not exist yet.
        needed_mb: megabytes wanted.
        setting: the variable that moves the folder elsewhere, for the remedy.

    Raises:
        UserError: if fewer are free.
    """
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free_mb = shutil.disk_usage(existing).free // 1_000_000
    if free_mb < needed_mb:
        raise UserError(
            f"{folder}: {free_mb} MB free, {needed_mb} MB needed",
            remedy=f"free some space there or set {setting} to a folder on another disk",
        )
