"""`tailrace settings`: every setting, its variable, its default and what it is now."""

from typing import Annotated, Any

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("settings")(settings)


def settings(*, as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False) -> None:
    """List all settings with their present values; secrets are named by file and never shown.

    Example: `TAILRACE_KAFKA__BOOTSTRAP_SERVERS=broker:9092 tailrace settings`
    """
    import msgspec  # noqa: PLC0415 - keeps --help fast

    from tailrace.cli.common import cli_settings  # noqa: PLC0415 - the same

    tree: dict[str, dict[str, Any]] = msgspec.to_builtins(cli_settings(quiet=False))
    tree["kafka"]["client"] = dict.fromkeys(tree["kafka"]["client"], "***")  # may hold a password by librdkafka's name
    for section in ("redis", "mlflow"):
        tree[section]["url"] = _without_password(tree[section]["url"])
    if as_json:
        print(msgspec.json.encode(tree).decode())
        return
    for section, values in tree.items():
        for name, value in values.items():
            print(f"TAILRACE_{section.upper()}__{name.upper()}={'' if value == {} else value}")


def _without_password(url: str) -> str:
    from urllib.parse import urlsplit  # noqa: PLC0415 - keeps --help fast

    parts = urlsplit(url)
    return url if parts.password is None else url.replace(f":{parts.password}@", ":***@")
