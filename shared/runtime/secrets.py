"""Secrets that a process needs besides Kafka's and Redis's: read from files, checked before anything starts."""

from shared.core.errors import UserError
from shared.core.pipeline import PrivacySpec
from shared.runtime.settings import PrivacySettings, read_secret

SHORTEST, LONGEST = 16, 64


def privacy_secret(settings: PrivacySettings, privacy: PrivacySpec) -> bytes:
    """The key of the keyed hash; empty where the pipeline hashes nothing.

    Raises:
        UserError: the pipeline hashes fields and no usable key is set; names the setting.
    """
    if not privacy.hash:
        return b""
    if not settings.key_file:
        raise UserError(
            f"privacy.hash names {', '.join(privacy.hash)}, but no key is set",
            remedy="put 16 to 64 random bytes into a file and name it in TAILRACE_PRIVACY__KEY_FILE",
        )
    secret = read_secret(settings.key_file, setting="privacy.key_file").encode()
    if not SHORTEST <= len(secret) <= LONGEST:
        raise UserError(f"privacy.key_file: the key has {len(secret)} bytes", remedy="it must have 16 to 64")
    return secret
