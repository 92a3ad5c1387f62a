"""Ed25519 signatures over manifests: the trainer holds the signing key, scorers only the public one."""

import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from shared.core.errors import ModelRefused, UserError


class Signer:
    """Signs with the key of a PEM file.

    Raises:
        UserError: the file is missing or no Ed25519 key; names the file.
    """

    def __init__(self, path: Path) -> None:
        try:
            key = load_pem_private_key(_read(path, "signing"), password=None)
        except (ValueError, TypeError):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise UserError(
                f"{path}: not an Ed25519 signing key in PEM", remedy="set TAILRACE_MODELS__SIGNING_KEY_FILE"
            )
        self._key = key

    def sign(self, manifest: bytes) -> bytes:
        """The signature (64 bytes) of a manifest's bytes."""
        return self._key.sign(manifest)


class Verifier:
    """Verifies with the public key of a PEM file.

    Raises:
        UserError: the file is missing or no Ed25519 public key; names the file.
    """

    def __init__(self, path: Path) -> None:
        try:
            key = load_pem_public_key(_read(path, "public"))
        except (ValueError, TypeError):
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise UserError(f"{path}: not an Ed25519 public key in PEM", remedy="set TAILRACE_MODELS__PUBLIC_KEY_FILE")
        self._key = key

    def verify(self, manifest: bytes, signature: bytes) -> None:
        """Do nothing for a good signature.

        Raises:
            ModelRefused: the bundle is unsigned, or signed by another key or over other bytes.
        """
        if not signature:
            raise ModelRefused("signature: the bundle is unsigned")
        try:
            self._key.verify(signature, manifest)
        except InvalidSignature:
            raise ModelRefused("signature: it is not by the key that is trusted here") from None


def make_keys(signing: Path, public: Path) -> None:
    """Write a new pair of keys, readable by the owner only; a pair that is already there is kept.

    Safe against another process that does the same at the same moment: the first one wins, and the public key is
    always derived from the signing key on disk.
    """
    signing.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    beside = signing.with_name(f".{signing.name}.{os.getpid()}")
    _write(beside, pem)
    try:
        os.link(beside, signing)  # unlike a rename, this never replaces a key that others already sign with
    except FileExistsError:
        pass
    finally:
        beside.unlink()
    if not public.exists():
        stored = load_pem_private_key(signing.read_bytes(), password=None).public_key()
        beside = public.with_name(f".{public.name}.{os.getpid()}")
        _write(beside, stored.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        beside.replace(public)


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path, kind: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        variable = f"TAILRACE_MODELS__{kind.upper()}_KEY_FILE"
        raise UserError(
            f"{path}: cannot read the {kind} key ({error.strerror})",
            remedy=f"name a readable file in {variable}; `tailrace train` makes a pair when none is named",
        ) from None
