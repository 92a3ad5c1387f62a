"""Outputs of two versions put together again, in the order of the records that they came from."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.core.ports import Block


@dataclass(frozen=True, slots=True)
class Output:
    """A block, and for each of its messages the place of its record in the part."""

    index: Sequence[int]
    block: Block


def woven(outputs: Sequence[Output]) -> list[Block]:
    """One block a topic. The messages of each output stand in the order of their records, and so do those of all."""
    by_topic: dict[str, list[Output]] = {}
    for output in outputs:
        by_topic.setdefault(output.block.topic, []).append(output)
    return [_one(some) for some in by_topic.values()]


def _one(outputs: Sequence[Output]) -> Block:
    first = outputs[0].block
    if len(outputs) == 1:
        return first
    index = [place for output in outputs for place in output.index]
    order = sorted(range(len(index)), key=index.__getitem__)
    blocks = [output.block for output in outputs]
    keys = [key for block in blocks for key in block.keys]
    values = [value for block in blocks for value in block.values]
    headers = [some for block in blocks for some in block.headers or [None] * len(block.values)]
    partitions = [partition for block in blocks for partition in block.partitions or ()]
    return Block(
        first.topic,
        [keys[j] for j in order],
        [values[j] for j in order],
        [headers[j] for j in order],
        [partitions[j] for j in order] if partitions else None,
    )
