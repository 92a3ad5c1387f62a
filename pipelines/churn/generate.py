"""Simulated monthly snapshots of a telephone and internet company's customers, with a known truth.

A panel is looked at in the first days of each month; who cancels before its end has churned, leaves and is replaced.
Whether somebody cancels depends on reasons that act together (contract, tenure and price; price and use; trouble
without support) and on use that is either far too low or far too high, so no single field says much.

The world was fixed before anything was trained on it; changing a parameter needs an ADR.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.simulation.arrivals import DAY_MS, HOUR_MS, arrivals, month_starts
from shared.simulation.entities import named
from shared.simulation.revealing import reveal
from shared.simulation.world import Floats, Ints, Labels, Request, Truth, Updates, World, changes, without
from shared.simulation.writer import write_history

CONTRACTS = np.array(["Month-to-month", "One year", "Two year"])
INTERNET = np.array(["No", "DSL", "Fiber optic"])
PAYMENTS = np.array(["Electronic check", "Mailed check", "Bank transfer", "Credit card"])
EXTRAS = ("online_security", "online_backup", "device_protection", "tech_support", "streaming_tv", "streaming_movies")
TOUCHED = {
    "covariate": "monthly_charges",
    "prior": "churned",
    "concept": "monthly_charges",
    "unit_error": "usage_gb",
} | {
    "missing_field": "monthly_charges",
    "new_category": "payment_method",
}


class Parameters(msgspec.Struct, frozen=True):
    """Every number of the world. TC: the IBM sample data set Telco Customer Churn (7,043 customers, public)."""

    months: int = 24  # the first third of a history is eight months
    burn_in: int = 12  # months before the first snapshot, so that the panel has its usual mix of survivors
    window_days: int = 5  # snapshots are taken in the first days of a month
    rotation: float = 0.25  # share of stayers who leave the panel each month; plausible
    # Who they are. TC: 16 % seniors, 48 % partners, 30 % dependents, 59 % paperless; tenure 1 to 72 months.
    shares: tuple[float, ...] = (0.16, 0.48, 0.30, 0.59)
    new_customers: float = 0.30  # tenure of at most 6 months, beside an even spread; near TC
    # Odds of a contract by tenure; near TC: 55, 21, 24 % in all.
    contract: tuple[tuple[float, float], ...] = ((0.86, -0.0085), (0.11, 0.0030), (0.03, 0.0055))
    internet: tuple[float, ...] = (0.22, 0.34, 0.44)  # TC
    extra: float = 0.42  # share that books an extra; TC 29 to 39 % of all, none without internet
    lines: float = 0.42  # multiple lines; TC
    payments: tuple[float, ...] = (0.34, 0.23, 0.22, 0.21)  # TC
    base_price: tuple[float, ...] = (20.0, 45.0, 70.0)  # by internet; TC
    prices: tuple[float, float, float] = (5.0, 5.0, 10.0)  # lines, extra, streaming; TC
    discount_sd: float = 2.0  # TC: charges are within a few dollars of their parts
    # Use: TC has none; plausible medians a month by internet, and how it varies (logarithms).
    usage: tuple[float, ...] = (8.0, 120.0, 260.0)
    usage_sd: tuple[float, float] = (0.55, 0.45)  # between customers, from month to month
    minutes: tuple[float, float] = (320.0, 0.6)
    # The account, published by the billing and support systems; plausible.
    tickets: tuple[float, float] = (0.7, 0.8)  # mean and shape of a negative binomial
    delay: tuple[float, float] = (0.25, 9.0)  # share that pays late, mean days
    known: float = 0.95  # share of months in which an update comes
    # Log-odds of churn with none of the reasons and with one in full; they give TC's 26.5 % overall.
    odds: tuple[float, float] = (-2.75, 1.75)
    # Reasons; literature on Telco names contract, tenure, charges, support; the forms are plausible.
    early: tuple[float, float] = (24.0, 72.0)  # by the month: tenure below, charges above
    legacy: tuple[float, float] = (30.0, 50.0)  # by the month: tenure above, charges below (poached)
    unused: tuple[float, float] = (75.0, 0.55)  # bound by contract: charges above, use below so much of the usual
    gone: float = 0.22  # use below so much of the usual: has moved already
    shock: float = 3.0  # by the month: use above so much of the usual
    trouble: float = 3.0  # tickets from which on, without tech support
    steep: tuple[float, float, float] = (1.0, 2.0, 0.10)  # how soft these edges are: months, charges, log use
    small: tuple[float, ...] = (0.20, 0.15, -0.15, 0.25)  # log-odds: senior, paperless, partner, electronic check
    late: float = 0.03  # log-odds a day of payment delay
    collapse: tuple[float, float] = (0.45, 1.2)  # use below so much of the last snapshot's: log-odds
    # Drifts.
    dearer: float = 1.15  # all charges, covariate
    fewer_stayers: float = 0.7  # share of stayers that is kept in the panel, prior
    cheaper_rival: float = 20.0  # charges by which `early` and `unused` fall, concept
    megabytes: float = 1000.0  # unit error
    wallet: float = 0.3  # share of the new category, once it is there
    # Labels. A cancellation is known when it is made, staying at the end of the month; plausible.
    faults: tuple[float, float] = (0.03, 0.02)  # shares without a label; of stayers closed by mistake, and reopened
    correction_days: tuple[float, float] = (0.5, 3.0)
    hours: tuple[float, ...] = (*(0.1,) * 6, 0.4, 0.8, *(1.0,) * 9, 0.8, 0.6, 0.4, 0.3, *(0.2,) * 3)


PARAMETERS = Parameters()
P = PARAMETERS
Columns = dict[str, NDArray[Any]]


@dataclass(slots=True)
class Stream:
    """What has been made so far, a month at a time."""

    columns: list[Columns] = field(default_factory=list)
    churned: list[Floats] = field(default_factory=list)
    chance: list[Floats] = field(default_factory=list)
    revealed: list[Ints] = field(default_factory=list)
    updates: list[Columns] = field(default_factory=list)


def write(folder: Path, seed: int) -> None:
    """The history: two stationary years."""
    write_history(simulate, folder, seed)


def simulate(request: Request) -> World:
    """A stream of snapshots and its truth; the same request gives the same world."""
    rng, n, scenario = np.random.default_rng(request.seed), request.records, request.scenario
    strength = {kind: scenario.strength(kind, n) for kind in ("covariate", "prior", "concept")}
    bounds = np.rint(np.linspace(0, n, P.months + 1)).astype(np.int64)
    panel, serial, stream = _newcomers(rng, int(bounds[1]) + 1, 0), int(bounds[1]) + 1, Stream()
    for _ in range(P.burn_in):
        _measure(rng, panel, np.zeros(len(panel["id"])))
        panel, serial = _next(rng, panel, rng.random(len(panel["id"])) < _chance(panel, 0.0), serial)
    panel["usage_last"], panel["tickets"], panel["late"] = (np.full(len(panel["id"]), np.nan) for _ in range(3))
    starts = month_starts(request.start_ms, P.months)
    for month, (first, end) in enumerate(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)):
        acting = {kind: column[first:end] for kind, column in strength.items()}
        acting["size"] = np.array([scenario.size("covariate", P.dearer), scenario.size("concept", P.cheaper_rival)])
        panel, serial = _month(rng, panel, serial, acting, (int(starts[month]), int(starts[month + 1])), stream)
    return _world(rng, request, stream)


def _month(
    rng: np.random.Generator, panel: Columns, serial: int, acting: Columns, span: tuple[int, int], stream: Stream
) -> tuple[Columns, int]:
    """One month of snapshots of as many customers as `acting` has records; gives the panel of the next."""
    size = len(acting["prior"])
    thin = 1.0 - (1.0 - P.fewer_stayers) * (float(acting["prior"].mean()) if size else 0.0)
    wanted = size if thin == 1.0 else 3 * size + 10  # enough to choose from
    if wanted > len(panel["id"]):
        more = _newcomers(rng, wanted - len(panel["id"]), serial)
        serial += len(more["id"])
        panel = {name: np.concatenate([column, more[name]]) for name, column in panel.items()}
    m = len(panel["id"])
    times = np.resize(np.sort(arrivals(rng, max(size, 1), span[0], P.window_days, hours=P.hours)), m)
    slot = np.arange(m) % max(size, 1)
    if size:
        panel["dearer"] = np.where(panel["lot"] < acting["covariate"][slot], acting["size"][0], 1.0)
    _measure(rng, panel, times)
    now = acting["concept"][slot] if size else np.zeros(m)
    old, new = _chance(panel, 0.0), _chance(panel, float(acting["size"][1]))
    chance = (1.0 - now) * old + now * new
    churned = rng.random(m) < np.where(rng.random(m) < now, new, old)
    kept = np.flatnonzero(churned | (rng.random(m) < thin))[:size]
    kept = kept[np.argsort(times[kept], kind="stable")]
    panel = {name: column[kept] for name, column in panel.items()} | {"at": times[kept]}
    chance, churned = chance[kept], churned[kept]
    stream.columns.append(dict(panel))
    stream.churned.append(churned.astype(np.float64))
    stream.chance.append(chance / (chance + (1.0 - chance) * thin))
    stream.revealed.append(_revealed(rng, panel["at"], churned, span[1]))
    stream.updates.append({name: panel[name][panel["told"]] for name in ("id", "told_at", "tickets", "late")})
    return _next(rng, panel, churned, serial)


def _revealed(rng: np.random.Generator, at: Ints, churned: NDArray[np.bool_], end: int) -> Ints:
    """When it is known: a cancellation some time before the end of the month, staying in its last four hours."""
    cancelled = at + HOUR_MS + (rng.beta(1.5, 1.5, len(at)) * (end - 5 * HOUR_MS - at)).astype(np.int64)
    stayed = end - 1 - (rng.random(len(at)) * 4 * HOUR_MS).astype(np.int64)
    return np.where(churned, cancelled, stayed)


def _world(rng: np.random.Generator, request: Request, stream: Stream) -> World:
    all_of = {name: np.concatenate([month[name] for month in stream.columns]) for name in stream.columns[0]}
    times, who = all_of["at"], named("C", all_of["id"])
    y, p = np.concatenate(stream.churned), np.concatenate(stream.chance)
    updates = {name: np.concatenate([month[name] for month in stream.updates]) for name in stream.updates[0]}
    order = np.argsort(updates["told_at"], kind="stable")
    values = {"tickets_60d": updates["tickets"][order], "payment_delay_days": updates["late"][order]}
    names = {"snapshot_id": named("N", np.arange(len(times)), 7), "customer_id": who, "snapshot_at": times}
    return World(
        task="binary",
        id_field="snapshot_id",
        key_field="customer_id",
        records=names | _shown(rng, request, all_of),
        times=times,
        truth=Truth(y, ("stayed", "churned"), np.column_stack([1.0 - p, p])),
        labels=_labels(rng, times, y, np.concatenate(stream.revealed)),
        updates=(Updates("account", named("C", updates["id"][order]), updates["told_at"][order], values),),
        changes=changes(request.scenario, times, TOUCHED),
    )


def _shown(rng: np.random.Generator, request: Request, all_of: Columns) -> Columns:
    """The fields as they are sent: in another unit, not at all, or with a category that is new."""
    scenario, n = request.scenario, len(all_of["id"])
    new = scenario.strikes("new_category", n, rng) & (rng.random(n) < P.wallet)
    wrong = scenario.strikes("unit_error", n, rng)
    usage, charges = all_of["usage"], all_of["charges"]
    flags = ("senior", "partner", "dependents", "paperless", *EXTRAS)
    return {name: all_of[name] for name in flags} | {
        "multiple_lines": all_of["lines"],
        "tenure_months": all_of["tenure"].astype(np.int64),
        "contract": CONTRACTS[all_of["contract"]],
        "internet_service": INTERNET[all_of["internet"]],
        "payment_method": np.where(new, "Wallet", PAYMENTS[all_of["payment"]]),
        "monthly_charges": without(charges, scenario.strikes("missing_field", n, rng)),
        # With the tenure it says the charges exactly, so the truth is known even where they are missing.
        "total_charges": np.round(charges * all_of["tenure"], 2),
        "usage_gb": np.where(wrong, np.round(usage * scenario.size("unit_error", P.megabytes), 1), usage),
        "call_minutes": all_of["minutes"],
    }


def _labels(rng: np.random.Generator, times: Ints, y: Floats, revealed: Ints) -> Labels:
    n, (missing, corrected) = len(times), P.faults
    after = rng.uniform(*P.correction_days, n) * 86_400.0
    delay = (revealed - times) / 1000.0
    return reveal(rng, times, y, delay, missing=missing, corrected=corrected, wrong=np.ones(n), after_s=after)


def _newcomers(rng: np.random.Generator, m: int, serial: int) -> Columns:
    """Customers who join the panel, not all of them new to the company."""
    tenure = np.where(rng.random(m) < P.new_customers, rng.integers(1, 7, m), rng.integers(1, 73, m)).astype(np.float64)
    odds = np.clip([at + slope * tenure for at, slope in P.contract], 0.02, None)
    contract = (rng.random(m) > np.cumsum(odds / odds.sum(axis=0), axis=0)[:2]).sum(axis=0)
    internet = rng.choice(3, m, p=P.internet)
    extras = (rng.random((6, m)) < P.extra) & (internet > 0)
    lines = rng.random(m) < P.lines
    price = np.array(P.base_price)[internet] + P.prices[0] * lines + rng.normal(0.0, P.discount_sd, m)
    price = price + P.prices[1] * extras[:4].sum(axis=0) + P.prices[2] * extras[4:].sum(axis=0)
    flags = rng.random((4, m)) < np.array(P.shares)[:, None]
    columns = {"id": serial + np.arange(m), "tenure": tenure, "contract": contract, "internet": internet}
    columns |= {"lines": lines, "price": np.clip(price, 18.25, 118.75), "dearer": np.ones(m), "lot": rng.random(m)}
    columns |= dict(zip(("senior", "partner", "dependents", "paperless"), flags, strict=True))
    columns |= dict(zip(EXTRAS, extras, strict=True)) | {"payment": rng.choice(4, m, p=P.payments)}
    columns |= {name: np.full(m, np.nan) for name in ("usage", "usage_last", "tickets", "late", "minutes")}
    return columns | {"level": rng.normal(0.0, P.usage_sd[0], m)}


def _measure(rng: np.random.Generator, panel: Columns, times: NDArray[Any]) -> None:
    """This month's use, charges and account."""
    m = len(panel["id"])
    log = np.log(np.array(P.usage)[panel["internet"]]) + panel["level"] + rng.normal(0.0, P.usage_sd[1], m)
    panel["usage"] = np.round(np.maximum(np.exp(log), 0.1), 1)
    panel["minutes"] = np.round(P.minutes[0] * np.exp(rng.normal(0.0, P.minutes[1], m)))
    panel["charges"] = np.round(panel["price"] * panel["dearer"], 2)
    mean, shape = P.tickets
    tickets = rng.negative_binomial(shape, shape / (shape + mean), m).astype(np.float64)
    late = np.where(rng.random(m) < P.delay[0], np.ceil(rng.exponential(P.delay[1], m)), 0.0)
    panel["told"] = rng.random(m) < P.known
    panel["told_at"] = np.asarray(times - rng.uniform(0.2, 9.8, m) * DAY_MS, dtype=np.int64)
    panel["tickets"] = np.where(panel["told"], tickets, panel["tickets"])
    panel["late"] = np.where(panel["told"], late, panel["late"])


def _next(rng: np.random.Generator, panel: Columns, churned: NDArray[np.bool_], serial: int) -> tuple[Columns, int]:
    """The panel a month later: who churned or rotates out is replaced."""
    stays = ~churned & (rng.random(len(churned)) >= P.rotation)
    more = _newcomers(rng, int(np.count_nonzero(~stays)), serial)
    after = {name: np.concatenate([column[stays], more[name]]) for name, column in panel.items() if name in more}
    kept = int(np.count_nonzero(stays))
    after["tenure"][:kept] = np.minimum(after["tenure"][:kept] + 1.0, 72.0)
    after["usage_last"][:kept] = after["usage"][:kept]
    return after, serial + len(more["id"])


def _chance(panel: Columns, rival: float) -> Floats:
    """The probability that each customer cancels this month, given what the record and its features show."""
    monthly, tenure, charges = panel["contract"] == 0, panel["tenure"], panel["charges"]
    ratio = np.log(panel["usage"] / np.array(P.usage)[panel["internet"]])
    months, dollars, use = P.steep
    dear = _above(charges, P.early[1] - rival, dollars)
    reasons = (
        monthly * _above(-tenure, -P.early[0], months) * dear,
        monthly * _above(tenure, P.legacy[0], months) * _above(-charges, -P.legacy[1], dollars),
        ~monthly * _above(charges, P.unused[0] - rival, dollars) * _above(-ratio, -np.log(P.unused[1]), use),
        _above(-ratio, -np.log(P.gone), use),
        monthly * _above(ratio, np.log(P.shock), use),
        (np.nan_to_num(panel["tickets"]) >= P.trouble) & ~panel["tech_support"],
    )
    none = np.prod([1.0 - reason for reason in reasons], axis=0)
    low, high = P.odds
    parts = (panel["senior"], panel["paperless"], panel["partner"], panel["payment"] == 0)
    logit = low + (high - low) * (1.0 - none) + sum(w * part for w, part in zip(P.small, parts, strict=True))
    logit = logit + P.late * np.nan_to_num(panel["late"])
    fell = np.nan_to_num(panel["usage"] / panel["usage_last"], nan=1.0) < P.collapse[0]
    return np.asarray(1.0 / (1.0 + np.exp(-logit - P.collapse[1] * fell)), dtype=np.float64)


def _above(x: Floats, edge: float, softness: float) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip((x - edge) / softness, -40.0, 40.0))), dtype=np.float64)
