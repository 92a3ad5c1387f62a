"""Where downloads live, which certificates they trust, and how much disk they want."""

from pathlib import Path

import pytest

from shared.core.errors import UserError
from tailrace.stack.cache import cache_folder, check_space, system_certificates


def test_nearly_full_disk_is_named(tmp_path: Path) -> None:
    """The line says where, how much is free, how much is wanted and which setting moves it."""
    with pytest.raises(UserError, match=r"state: \d+ MB free, 1000000000 MB needed; .*TAILRACE_STATE"):
        check_space(tmp_path / "not" / "yet" / "state", 1_000_000_000, "TAILRACE_STATE")


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"TAILRACE_CACHE": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, Path("/a")),
        ({"XDG_CACHE_HOME": "/b", "HOME": "/c"}, Path("/b/tailrace")),
        ({"HOME": "/c"}, Path("/c/.cache/tailrace")),
        ({}, Path.cwd() / ".tailrace/cache"),
    ],
)
def test_cache_folder(environ: dict[str, str], folder: Path) -> None:
    """The first of TAILRACE_CACHE, XDG_CACHE_HOME, HOME that is set decides."""
    assert cache_folder(environ) == folder


def test_own_certificates_are_left_alone() -> None:
    """A bundle that the user names is never replaced."""
    assert "SSL_CERT_FILE" not in system_certificates({"SSL_CERT_FILE": "/mine.pem"})
