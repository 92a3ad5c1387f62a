"""One page about the new pipeline: what it answers, its record, what is lost, how to go on."""

from tailrace.initialise.draft import Draft
from tailrace.initialise.plan import FieldPlan
from tailrace.initialise.yaml_text import title


def readme_text(made: Draft, where: str) -> str:
    """The page in Markdown.

    Args:
        made: the plan.
        where: the pipeline as a command names it (its name, or a folder).
    """
    parts = [_head(made, where), _record(made), _labels(made), _left_out(made), _lost(made), _own(made)]
    return "\n".join("\n".join([*part, ""]) for part in parts if part)


def _head(made: Draft, where: str) -> list[str]:
    n, m = len(made.ids), made.target.labelled
    about = title(made) if title(made).endswith("?") else f"{title(made)}."
    labelled = f", {m:,} of them labelled" if made.roles.label else ""
    return [
        f"# {made.ask.name}",
        "",
        f"{about} Made by `tailrace init` from `{made.sheet.source.path.name}`: {n:,} records{labelled}.",
        "",
        "```",
        f"tailrace validate {where}",
        f"tailrace train {where}",
        f"tailrace replay {where}",
        "```",
    ]


def _record(made: Draft) -> list[str]:
    roles = made.roles
    time = _md(roles.time or roles.time_field)
    head = f"## The record: id `{_md(roles.id_field)}`, key `{_md(roles.key_field)}`, time `{time}`"
    rows = [f"| `{_md(field.name)}` | {_type(field)} | {_use(field)} |" for field in made.fields]
    return [head, "", "| field | what to send | use |", "|---|---|---|", *rows]


def _type(field: FieldPlan) -> str:
    words = {
        "string": "text", "integer": "whole number", "number": "number", "boolean": "true or false",
        "timestamp": "RFC 3339 time with an offset, or ms since 1970",
    }  # fmt: skip
    unit = f", {_md(field.unit)}" if field.unit else ""
    bounds = (
        f", {field.minimum:g}..{field.maximum:g}" if field.minimum is not None and field.maximum is not None else ""
    )
    return f"{words[field.type]}{unit}{bounds}{', may be null' if field.optional else ''}"


def _use(field: FieldPlan) -> str:
    if field.feature:
        return f"{field.feature} feature"
    return _md(field.why_not or field.description)


def _labels(made: Draft) -> list[str]:
    if not made.roles.label:
        return []
    target = made.target
    what = f"one of {', '.join(f'`{_md(name)}`' for name in target.classes)}" if target.classes else "a number"
    positive = f" The score is the probability of `{_md(target.positive)}`." if target.positive else ""
    return ["## The label", "", f"`{_md(made.roles.label)}`: {what}.{positive}"]


def _left_out(made: Draft) -> list[str]:
    gone = [guess for guess in made.say.guesses if guess.guess == "left out"]
    lines = [f"- {_md(guess.what)}: {_md(guess.why)}" for guess in gone]
    if made.say.rejected:
        lines.append(f"- {len(made.say.rejected):,} rows: see `rejected.csv`, with line, reason and text")
    return ["## What was left out", "", *lines] if lines else []


def _lost(made: Draft) -> list[str]:
    lines = [f"- {_md(text)}" for text in (*made.say.lost, *made.say.warnings)]
    return ["## What to know", "", *lines] if lines else []


def _own(_made: Draft) -> list[str]:
    return [
        "## Your own stream",
        "",
        "Producers send each record as a JSON object of the fields above to the topic `records` of this pipeline, with",
        "the key field as the Kafka key. The history (`*.parquet`, `rejected.csv`) is data and stays out of git",
        "(`.gitignore`); run `tailrace init` again with `--force` to make it from a newer file.",
    ]


def _md(text: str) -> str:
    return text.replace("|", "\\|").replace("`", "'")
