"""How other commands find the stack that runs on the state folder."""

from collections.abc import Mapping

from tailrace.stack.endpoints import SETTINGS
from tailrace.stack.state import StateFolder, state_folder


def running_stack(environ: Mapping[str, str]) -> dict[str, str]:
    """The settings that lead to the running embedded stack; empty where none runs."""
    folder = StateFolder(state_folder(environ))
    # What a stack wrote that was killed since then would lead nowhere, so the lock is asked too.
    content = folder.read() if folder.held() else None
    if content is None:
        return {}
    return {SETTINGS[part]: address for part, address in content.endpoints.items() if part in SETTINGS and address}
