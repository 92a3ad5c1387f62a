"""The judgements on one pipeline: topics, models, epochs, workers, the group, dead letters, clocks. Pure."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from services.retrainer.rollout.decide import ALIVE_MS, unsettled
from shared.core import durations
from shared.core.rollout import RolloutTable
from shared.core.topic_plan import compare, faults
from shared.core.topics import wanted
from tailrace.doctor.facts import Beat, Facts, Finding, Letters, Pinned, PipelineFacts

PINNED_MS = 10_000
HANGING_MS = 60_000  # several times what a transaction of ours may take, and its broker to end it
UNSETTLED_MS = 10_000
WAITED_MS = 10_000
SKEW_MS = 2_000
LETTERS, LETTER_SHARE = 10, 0.01
FLAPS = 3  # times that a worker gave its partitions back while we have heartbeats of it


def examine_pipeline(facts: Facts, known: PipelineFacts) -> list[Finding]:
    """Judge one pipeline; what could not be read is said to be unknown."""
    found: list[Finding] = []
    for name, needs, check in _CHECKS:
        lacking = [need for need in needs if getattr(known, need) is None]
        if lacking:
            why = "; ".join(dict.fromkeys(facts.unread.get(need, "it was not read") for need in lacking))
            found.append(Finding(name, ok=None, what="could not be looked at", cause=why))
        else:
            found += check(facts, known)
    return found


def alive(facts: Facts, beats: Sequence[Beat]) -> list[Beat]:
    """The newest heartbeat of each live worker; one that came while we looked is alive whatever the clocks say."""
    newest = {beat.said.worker: beat for beat in beats}
    return [beat for beat in newest.values() if beat.fresh or facts.now - beat.appended < ALIVE_MS]


def _topics(_: Facts, known: PipelineFacts) -> list[Finding]:
    spec, have = known.spec, known.topics or {}
    plan, apply_ = f"tailrace topics plan {known.where}", f"tailrace topics apply {known.where}"
    compared = compare(wanted(spec), have)
    missing = [a.topic for a in compared.work if a.kind == "create"]
    found = []
    if missing:
        what = f"{len(missing)} topic(s) missing: {', '.join(missing)}"
        found.append(Finding("topics", False, what, "they were never made, or were deleted", apply_))
    found += [
        Finding("topics", False, f"{a.topic} {a.what}", "made by hand, or before", plan) for a in compared.refused
    ]
    wrong = [
        Finding("topics", False, fault, "the topic was made or changed by hand", plan) for fault in faults(spec, have)
    ]
    altered = [a for a in compared.work if a.kind == "alter"]
    if not wrong:
        cause = "the pipeline's file or the topic changed since"
        wrong = [Finding("topics", False, f"{a.topic}: {a.what}", cause, apply_) for a in altered]
    found += wrong
    return found or [Finding("topics", ok=True, what=f"all {len(have)} are as they should be")]


def _version(_: Facts, known: PipelineFacts) -> list[Finding]:
    newest = RolloutTable(known.rollouts or ()).newest_active()
    if newest is None:
        cause = "every version was revoked" if known.rollouts else "no model was trained yet"
        return [
            Finding(
                "version", False, "no version is in force: nothing can score", cause, f"tailrace train {known.where}"
            )
        ]
    return [Finding("version", ok=True, what=f"version {newest.champion.version} is in force (epoch {newest.epoch})")]


def _refused(facts: Facts, known: PipelineFacts) -> list[Finding]:
    said = [(b.said.worker, v, why) for b in alive(facts, known.beats or ()) for v, why in b.said.refused.items()]
    table = RolloutTable(known.rollouts or ())
    withdrawn = {r.champion.version for r in table if r.state == "revoked"}
    withdrawn -= {r.champion.version for r in table if r.state != "revoked"}
    newest = table.newest_active()
    found = []
    for worker, version, why in said:
        if version in withdrawn:
            continue
        in_force = newest is not None and newest.champion.version == version
        others = sum(r.state == "active" for r in table) > 1
        command = (
            f"tailrace rollout revoke {known.where} {version}"
            if in_force and others
            else f"tailrace train {known.where}"
        )
        what = f"{worker} refuses version {version}{', which is in force' if in_force else ''}"
        found.append(Finding("model", False, what, why, command))
    return found or [Finding("model", ok=True, what="no live worker refuses a version")]


def _epochs(facts: Facts, known: PipelineFacts) -> list[Finding]:
    table = RolloutTable(known.rollouts or ())
    newest = table.newest_active()
    if newest is None or known.spec.rollout.activation == "local":
        return []
    late = unsettled(newest.epoch, table, known.notes or {})
    if not late or facts.now - newest.changed_at < UNSETTLED_MS:
        return [Finding("epochs", ok=True, what=f"epoch {newest.epoch} holds in every partition")]
    what = f"epoch {newest.epoch} (version {newest.champion.version}) has not begun in partitions {late}"
    waiting = sum(p.lag for p in known.partitions or () if p.partition in late)
    cause = f"its barrier stands behind {waiting:,} records" if waiting else "its barrier was never written there"
    command = f"tailrace rollout activate {known.where} {newest.champion.version}  # completes what was begun"
    return [Finding("epochs", False, what, cause, command)]


def _workers(facts: Facts, known: PipelineFacts) -> list[Finding]:
    """Two processes in one slot fence each other: two members of one client id, or one that comes and goes."""
    beats = known.beats or ()
    live = {beat.said.worker for beat in alive(facts, beats)}
    double = sorted(name for name, count in (known.members or {}).items() if count > 1)
    flapping = sorted({b.said.worker for b in beats if _flaps(beats, b.said.worker) >= FLAPS} & live)
    command = f"tailrace scorer {known.where} --slot N  # another first slot on each machine"
    cause = "two processes share one slot, and so one transactional id: they fence each other in turn"
    found = [Finding("workers", False, f"{name} is in the group twice", cause, command) for name in double]
    if not double:
        cause = "it ends again and again: another process with its slot fences it, or it fails (see its log)"
        found = [
            Finding("workers", False, f"{w} gave its partitions back {FLAPS} times or more", cause, command)
            for w in flapping
        ]
    return found or [Finding("workers", ok=True, what=f"{len(live)} live: {', '.join(sorted(live)) or 'none'}")]


def _flaps(beats: Sequence[Beat], worker: str) -> int:
    owned = [bool(b.said.partitions) for b in beats if b.said.worker == worker]
    return sum(before and not after for before, after in pairwise(owned))


def _group(facts: Facts, known: PipelineFacts) -> list[Finding]:
    live = alive(facts, known.beats or ())
    stopped = {int(p): (b.said.worker, why) for b in live for p, why in b.said.stopped.items()}
    found = [
        Finding(
            "group", False, f"{worker} stopped partition {p}", why,
            f"tailrace contract {known.where}  # mend the producer, then start the worker again",
        )
        for p, (worker, why) in sorted(stopped.items())
    ]  # fmt: skip
    waiting = [p for p in known.partitions or () if p.waits_since is not None and p.partition not in stopped]
    lag = sum(p.lag for p in waiting)
    if waiting and not live:
        what = f"{lag:,} records wait and no worker is alive"
        return [
            *found,
            Finding("group", False, what, _last_seen(facts, known), f"tailrace scorer {known.where} --workers 2"),
        ]
    stuck = [p for p in waiting if p.later == p.committed and facts.now - (p.waits_since or 0) > WAITED_MS]
    if stuck:
        oldest = durations.write((facts.now - min(p.waits_since or 0 for p in stuck)) // 1_000)
        owned = {p for beat in live for p in beat.said.partitions}
        orphans = [p.partition for p in stuck if p.partition not in owned]
        cause = f"no live worker owns partitions {orphans}" if orphans else "their workers live but commit nothing"
        what = f"partitions {[p.partition for p in stuck]} stand still, the oldest record waits for {oldest}"
        found.append(Finding("group", False, what, cause, "tailrace status  # names the workers' logs"))
    fine = f"{lag:,} records wait, and it moves" if waiting else "every record is scored"
    return found or [Finding("group", ok=True, what=fine)]


def _last_seen(facts: Facts, known: PipelineFacts) -> str:
    if not known.beats:
        return "no worker was ever heard of"
    last = max(known.beats, key=lambda beat: beat.appended)
    return (
        f"{last.said.worker} was the last to be heard of, {durations.write((facts.now - last.appended) // 1_000)} ago"
    )


def _transactions(facts: Facts, known: PipelineFacts) -> list[Finding]:
    old = [p for p in known.pinned or () if facts.now - p.since > PINNED_MS]
    if not old:
        return [Finding("transactions", ok=True, what="none stays open")]
    return [
        Finding(
            "transactions",
            False,
            f"{p.topic}[{p.partition}] hides offset {p.offset} and all after it {_span(facts, p.since)}",
            *_end(facts, known, p),
        )
        for p in old
    ]


def _end(facts: Facts, known: PipelineFacts, pinned: Pinned) -> tuple[str, str]:
    """Why a transaction is open, and what ends it."""
    if facts.now - pinned.since <= HANGING_MS:
        cause = "an open transaction: its producer hangs or died, and readers wait for its end (the last stable offset)"
        return cause, f"tailrace scorer {known.where}  # a worker in the same slot ends it at once, the broker in time"
    cause = (
        "a hanging transaction, unless transaction_timeout was raised: its producer and the broker take it for ended, "
        "as brokers of Kafka 4.3 do with some after a crash (KAFKA-20734)"
    )
    where = f"--topic {pinned.topic} --partition {pinned.partition} --start-offset {pinned.offset}"
    # Before the workers: the next commit of the same slot would let readers see what was aborted.
    return cause, f"kafka-transactions.sh --bootstrap-server {facts.kafka.address} abort {where}"


def _letters(_: Facts, known: PipelineFacts) -> list[Finding]:
    seen = known.letters or Letters(0, {})
    count = sum(seen.reasons.values())
    share = count / max(seen.records, count, 1)
    said = f"{'' if seen.whole else 'at least '}{count:,} dead letters ({share:.1%} of the records) in the last hour"
    if count < LETTERS or share < LETTER_SHARE:
        return [Finding("dead letters", ok=True, what=said)]
    most = sorted(seen.reasons.items(), key=lambda item: -item[1])[:3]
    cause = "mostly " + ", ".join(f"{reason} {n:,}" for reason, n in most)
    return [Finding("dead letters", False, said, cause, f"tailrace dlq list {known.where}")]


def _clocks(facts: Facts, known: PipelineFacts) -> list[Finding]:
    """A worker's clock against the broker's, and ours against the broker's by what came while we looked."""
    beats = known.beats or ()
    command = "timedatectl  # is the clock synchronised? (NTP)"
    found = []
    for worker in sorted({beat.said.worker for beat in alive(facts, beats)}):
        # Delays only ever make the append later than the beat: the smallest distance is the clocks' own.
        skew = min((b.said.time - b.appended for b in beats if b.said.worker == worker), key=abs)
        if abs(skew) > SKEW_MS:
            found.append(
                Finding(
                    "clock", False, f"the clock of {worker} is {_off(skew)} the broker's", "not synchronised", command
                )
            )
    for beat in beats:
        skew = min(facts.now - beat.appended, 0)
        if beat.fresh and beat.appended < facts.now - facts.looked - SKEW_MS:
            skew = facts.now - facts.looked - beat.appended
        if abs(skew) > SKEW_MS:
            found.append(
                Finding(
                    "clock",
                    False,
                    f"the clock of this machine is {_off(skew)} the broker's",
                    "not synchronised",
                    command,
                )
            )
            break
    if not beats:
        return [Finding("clock", ok=None, what="could not be looked at", cause="no worker was ever heard of")]
    return found or [Finding("clock", ok=True, what="workers, broker and this machine agree within 2 s")]


def _span(facts: Facts, since: int) -> str:
    return f"for {durations.write((facts.now - since) // 1_000)}"


def _off(skew: float) -> str:
    return f"{abs(skew) / 1_000:,.1f} s {'ahead of' if skew > 0 else 'behind'}"


_Check = Callable[[Facts, PipelineFacts], list[Finding]]
_CHECKS: tuple[tuple[str, tuple[str, ...], _Check], ...] = (
    ("topics", ("topics",), _topics),
    ("version", ("rollouts",), _version),
    ("model", ("beats", "rollouts"), _refused),
    ("epochs", ("rollouts", "notes"), _epochs),
    ("workers", ("beats", "members"), _workers),
    ("group", ("beats", "partitions"), _group),
    ("transactions", ("pinned",), _transactions),
    ("dead letters", ("letters",), _letters),
    ("clock", ("beats",), _clocks),
)
