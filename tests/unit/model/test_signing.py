"""Keys and signatures."""

import stat
from pathlib import Path

import pytest

from shared.adapters.signing import Signer, Verifier, make_keys
from shared.core.errors import ModelRefused, UserError


def test_missing_and_wrong_keys_are_named(tmp_path: Path) -> None:
    """A key that is not there, or is another kind of file, is one line with the file and the setting."""
    with pytest.raises(UserError, match=r"none.pem: cannot read the signing key .*TAILRACE_MODELS__SIGNING_KEY_FILE"):
        Signer(tmp_path / "none.pem")
    (tmp_path / "x.pem").write_text("hello")
    with pytest.raises(UserError, match=r"x.pem: not an Ed25519 public key"):
        Verifier(tmp_path / "x.pem")
    make_keys(tmp_path / "s.pem", tmp_path / "p.pem")
    with pytest.raises(UserError, match="not an Ed25519 signing key"):
        Signer(tmp_path / "p.pem")


def test_a_pair_signs_and_verifies(tmp_path: Path) -> None:
    """What the pair signs it verifies; other bytes and another pair's signature are refused."""
    make_keys(tmp_path / "s.pem", tmp_path / "p.pem")
    make_keys(tmp_path / "s2.pem", tmp_path / "p2.pem")
    signature = Signer(tmp_path / "s.pem").sign(b"manifest")
    Verifier(tmp_path / "p.pem").verify(b"manifest", signature)
    for content, bad in ((b"Manifest", signature), (b"manifest", Signer(tmp_path / "s2.pem").sign(b"manifest"))):
        with pytest.raises(ModelRefused, match="signature: "):
            Verifier(tmp_path / "p.pem").verify(content, bad)


def test_keys_are_private_and_kept(tmp_path: Path) -> None:
    """The signing key is readable by its owner only, a second call keeps it, and a lost public key is derived again."""
    signing, public = tmp_path / "keys" / "s.pem", tmp_path / "keys" / "p.pem"
    make_keys(signing, public)
    before = signing.read_bytes(), public.read_bytes()
    assert stat.S_IMODE(signing.stat().st_mode) == 0o600
    public.unlink()
    make_keys(signing, public)
    assert (signing.read_bytes(), public.read_bytes()) == before
    assert sorted(path.name for path in signing.parent.iterdir()) == ["p.pem", "s.pem"]
