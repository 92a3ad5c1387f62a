"""A pipeline's topics on a real broker: what is missing, and making it so."""

from shared.adapters.kafka.admin import KafkaAdmin
from shared.core.errors import UserError
from shared.core.pipeline import PipelineSpec
from shared.core.topic_plan import Plan, compare, faults
from shared.core.topics import wanted


def topic_plan(spec: PipelineSpec, admin: KafkaAdmin) -> Plan:
    """What separates the broker's topics from those that the pipeline wants."""
    wants = wanted(spec)
    return compare(wants, admin.topics([want.name for want in wants]))


def topic_faults(spec: PipelineSpec, admin: KafkaAdmin) -> tuple[str, ...]:
    """What is wrong with the topics as they are, in words."""
    return faults(spec, admin.topics([want.name for want in wanted(spec)]))


def make_topics(admin: KafkaAdmin, spec: PipelineSpec, found: Plan) -> None:
    """Do what a plan says, and wait until the topics are really there."""
    new = {action.topic for action in found.work if action.kind == "create"}
    admin.create([want for want in wanted(spec) if want.name in new])
    for action in found.work:
        if action.kind == "alter":
            admin.alter(action.topic, {name: value for name, (_, value) in action.changes.items()})


def ensure_topics(admin: KafkaAdmin, spec: PipelineSpec) -> Plan:
    """Make the pipeline's topics, as `tailrace topics apply` does, for commands that need them.

    Returns:
        What was done.

    Raises:
        UserError: a topic is there with another partition count, or the broker refuses.
    """
    found = topic_plan(spec, admin)
    if found.refused:
        said = "; ".join(f"{action.topic} {action.what}" for action in found.refused)
        raise UserError(said, remedy=f"see `tailrace topics plan {spec.name}`")
    make_topics(admin, spec, found)
    return found
