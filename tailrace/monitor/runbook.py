"""What each alarm means, and what to do about it, in words for somebody who was asleep a minute ago."""

from typing import NamedTuple

PAGE = "docs/monitor.md#what-to-do"


class Advice(NamedTuple):
    """One kind of alarm."""

    title: str
    means: str
    do: str


ADVICE: dict[str, Advice] = {
    "quality": Advice(
        "Quality is too low", "Labels say that the model is worse than its goal, or than it was on its holdout.",
        "Nothing tonight: a retrain request asks by itself. See in the report since when, and in which slice.",
    ),
    "errors": Advice(
        "Errors rise", "More answers are wrong than on the holdout, for longer than a burst lasts.",
        "See what else moved at the same time. If a new version came just before: `tailrace rollout revoke`.",
    ),
    "loss": Advice(
        "The loss rises", "Answers are further off, or wrong ones more certain, than on the holdout.",
        "As with errors; if the errors stay as they were, calibration is what suffers.",
    ),
    "estimate": Advice(
        "A worse quality is expected", "The scores alone say so, before labels come; blind to a change of concept.",
        "Wait for labels. Look at the features that moved most.",
    ),
    "features": Advice(
        "What comes has moved",
        "Features, answers or truths are unlike those of the training. That alone harms nobody.",
        "Look at the histograms: a season, a new customer, or a broken source? Mend a source; leave a season alone.",
    ),
    "missing": Advice(
        "Values are missing", "A feature has no value more often than at the training.",
        "Ask whoever sends it; of a looked-up feature see whether its writer runs and Redis answers.",
    ),
    "unseen": Advice(
        "Unknown words", "A category brings words that the model has never seen; it takes them as missing.",
        "New words are a case for retraining; other spellings are a fault of the source.",
    ),
    "out_of_range": Advice(
        "Values out of range", "Numbers lie outside what the pipeline's file allows.",
        "Ask whoever sends them; do not widen the range before it is known why.",
    ),
    "label_outage": Advice(
        "Labels stay away", "Far fewer labels come than usually do with so many records.",
        "Wake whoever sends labels. Quality is unknown until they come; nothing is retrained meanwhile.",
    ),
    "schema": Advice(
        "Nobody can read it", "Entries, or all features at once, cannot be read: writer and reader disagree.",
        "See what was deployed last, and take it back. `tailrace dlq list` shows what was refused.",
    ),
    "unit_jump": Advice(
        "A number has jumped", "Nearly all values of a number lie at one end at once: another unit, or a stuck sensor.",
        "Ask the source whether it changed its unit. Do not retrain on it: nothing asks for that.",
    ),
    "conflicts": Advice(
        "Labels contradict each other", "Labels of one revision say different things about the same records.",
        "Wake whoever sends labels: two senders, or one that repeats itself wrongly.",
    ),
    "flipped": Advice(
        "Labels are turned over", "Labels say the opposite of a model that was right before.",
        "Ask whoever sends labels whether true and false were exchanged. Nothing is retrained on them.",
    ),
    "clock": Advice(
        "A clock runs ahead", "Records come when their windows are over by event time: a clock may have jumped.",
        "See which source sends times from the future. `monitoring.max_step` bounds what one record can do.",
    ),
    "schedule": Advice("The clock", "A new model is due by the clock.", "Nothing."),
    "labels": Advice("Labels enough", "So many new labels came that a new model is due.", "Nothing."),
    "manual": Advice("An operator asks", "Somebody asked for a new model by hand.", "Nothing."),
}  # fmt: skip


def advice(trigger: str) -> Advice:
    """What to do about a verdict; of a trigger that a newer analyst knows, where to read on."""
    return ADVICE.get(trigger, Advice(trigger, "This version of the command does not know it.", f"See {PAGE}."))
