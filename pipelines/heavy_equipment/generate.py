"""A seeded auction of used machines whose truth is known: the law of each price, given the sale's record and features.

Run by `tailrace generate heavy_equipment`, and as the history hook of pipeline.yaml. Beside it: `models.csv` (names of
the published data's base models, plausible list prices and shares), `groups.csv` (a product group's yearly decline,
least worth, use, life, season, cycle, and what a region pays more or less) and `states.csv`; all plausible.
Prices rise and tastes wander slowly in every scenario: that is the market's own course, and no drift on schedule.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np

from shared.simulation.arrivals import DAY_MS, arrivals
from shared.simulation.columns import read_columns
from shared.simulation.entities import named, previous
from shared.simulation.lognormal import Mixture
from shared.simulation.metered import BANDS, UNSAID, band_of, hidden_use
from shared.simulation.price_index import PriceIndex, price_index
from shared.simulation.returning import returning
from shared.simulation.revealing import delays, reveal
from shared.simulation.scenario import Kind, Scenario
from shared.simulation.slow import Slow, slowly
from shared.simulation.stepped import stepped_count
from shared.simulation.world import START_MS, Column, Floats, Ints, Labels, Request, Truth, World, changes, without
from shared.simulation.writer import write_history

YEAR_MS = 365.25 * DAY_MS
OWN_START_MS = 1_136_073_600_000  # 1 January 2006: years of sales have to be over by today


class Parameters(msgspec.Struct, frozen=True):
    """The world's numbers, chosen before any model was trained. Published: Blue Book for Bulldozers (2012)."""

    sales_a_year: int = 15_000  # published: 400,000 sales in 23 years
    resold: float = 0.2  # published: a fifth of the sales are of a machine that was sold before
    age: tuple[float, float, float] = (2.4, 4.0, 30)  # published: median about 9 years; shape, scale, most
    use: float = 0.4  # plausible: sd of a machine's log hours a year within its group
    no_hours: float = 0.20  # published: 64 % lack them; an auction of our day reads more
    reset: tuple[float, float] = (0.05, 1500)  # plausible: share of meters that were replaced; hours they show at most
    banded: float = 0.45  # published: a usage band stands in 18 %, and only beside hours; more here
    cab: tuple[float, float, float] = (0.45, 0.30, 0.25)  # published: OROPS, EROPS, EROPS w AC
    auxiliary: float = 0.35  # plausible: share with auxiliary hydraulics
    young: float = 0.15  # plausible: worth of few hours on an old machine
    air: tuple[float, float] = (0.12, 0.03)  # plausible: premium of air conditioning where it is hot, elsewhere
    closed: tuple[float, float] = (0.10, 0.03)  # plausible: premium of a closed cab where it is cold, elsewhere
    open: float = 0.12  # plausible: discount of an open one where it is cold
    hydraulics: float = 0.10  # plausible: premium on excavators and skid steers; nothing on others
    season: float = 0.04  # published: spring and autumn differ by some 5 %
    cycle: tuple[float, float, float] = (0.08, 22, 0.03)  # plausible: swing of the index, months, sd of its own noise
    leverage: tuple[float, float] = (0.7, 0.06)  # plausible: old machines follow the cycle more, a year of age
    supply: float = 0.02  # plausible: each e-fold of the model's sales in 90 days costs 2 %
    flip: float = 0.05  # plausible: discount where the machine was sold within a year
    inflation: float = 0.02  # plausible: a year, beyond what the index shows
    taste: tuple[float, float] = (0.03, 180)  # plausible: sd of a group's log price that nobody publishes; days
    noise: tuple[float, float, float] = (0.08, 0.002, 20)  # plausible: 10 % between like machines; gain a year, until
    settled_d: tuple[float, float] = (3.0, 0.6)  # plausible: median days to settlement of 25,000 USD; sd of the log
    lost: tuple[float, float] = (0.03, 0.02)  # plausible: sales that fall through; told with the buyer's premium first
    # Sizes of the drifts: a scenario says when, and may say another size.
    rental: float = 0.4  # covariate: ages, against before: rental fleets sell
    tilt: float = 0.5  # prior: sales come with weight price ** tilt
    banned: float = 0.70  # concept: price of diggers, dozers and loaders over 8 years old under an emission rule
    tenths: float = 10.0  # unit_error: auctioneer 2 sends tenths of hours
    blank: float = 0.8  # missing_field: share without hours
    launched: float = 0.4  # new_category: share of the excavators that are of a new model


PARAMETERS = Parameters()
_HOURS = dict.fromkeys(("unit_error", "missing_field"), "meter_hours")
FIELDS = {**_HOURS, "prior": "price", "concept": "price", "covariate": "age_years", "new_category": "model_id"}
_DICE = ("times", "market", "machines", "resold", "sales", "again", "labels", "launched", *get_args(Kind))
_CABS = np.array(["OROPS", "EROPS", "EROPS w AC"])
_REGIONS = ("midwest", "northeast", "south", "west")
_NEW_MODEL, _EXCAVATORS, _AUXILIARY, _BANNED = "336", "TEX", ("TEX", "SSL"), ("TEX", "TTT", "WL")
_BANNED_AGE, _DEAREST, _USUAL = 8.0, 400_000.0, 25_000.0
_WEEK, _SALE_HOURS = (0.7, 1.2, 1.4, 1.5, 1.2, 0.5, 0.1), (0.0,) * 13 + (1.0,) * 8 + (0.0,) * 3
_MONTHS = (0.9, 1.1, 1.3, 1.1, 1.0, 1.1, 0.8, 0.8, 1.1, 1.1, 0.9, 0.9)


def simulate(request: Request) -> World:
    """Sales in order of their time; the same request gives the same market."""
    p, n, scenario = PARAMETERS, request.records, request.scenario
    dice = {name: np.random.default_rng([request.seed, i]) for i, name in enumerate(_DICE)}
    start = OWN_START_MS if request.start_ms == START_MS else request.start_ms
    days = max(int(n / p.sales_a_year * 365.25), 1)
    times = arrivals(dice["times"], n, start, days, hours=_SALE_HOURS, weekdays=_WEEK, months=_MONTHS)
    market = _market(p, dice["market"], times, start, days)
    sales = _sales(market, scenario, dice)
    price, truth = _outcome(market, sales, scenario)
    return World(
        task="regression",
        id_field="sale",
        key_field="machine_id",
        records=_records(market, sales, scenario),
        times=times,
        truth=truth,
        labels=_labels(p, times, price, dice["labels"]),
        updates=(market.index.updates("market"),),
        changes=changes(scenario, times, FIELDS),
    )


def write(folder: Path, seed: int) -> None:
    """The history: a stationary stream."""
    write_history(simulate, folder, seed)


@dataclass(frozen=True, slots=True)
class Market:
    """Tables of models, groups and states; the published index, and the taste that nobody publishes."""

    p: Parameters
    models: Mapping[str, Column]
    groups: Mapping[str, Column]
    states: Mapping[str, Column]
    times: Ints
    start: int
    index: PriceIndex
    taste: Slow

    def course(self, group: Ints, age: Floats, times: Ints) -> Floats:
        """What the time of a sale adds to the log price."""
        p = self.p
        season = p.season * np.cos(2 * np.pi * (_year(times) % 1 - self.groups["season_month"][group] / 12))
        cycle = self.index.at(group, times) * (p.leverage[0] + p.leverage[1] * np.minimum(age, 15))
        return np.asarray(season + cycle + self.taste.at(group, times) + p.inflation * (times - self.start) / YEAR_MS)


def _market(p: Parameters, rng: np.random.Generator, times: Ints, start: int, days: int) -> Market:
    here = Path(__file__)
    models = read_columns(here.with_name("models.csv"), "model", "group", "size")
    groups = read_columns(here.with_name("groups.csv"), "group")
    models["code"] = np.searchsorted(groups["group"], models["group"])
    states = read_columns(here.with_name("states.csv"), "state", "region", "climate")
    height, months, sd = p.cycle
    index = price_index(rng, groups["group"], start, days, swing=height * groups["cycle"], months=months, sd=sd)
    taste = slowly(rng, len(groups["group"]), start, days, sd=p.taste[0], every_d=p.taste[1])
    return Market(p, models, groups, states, times, start, index, taste)


@dataclass(frozen=True, slots=True)
class Machines:
    """What is sold at m places `at` of the stream: model, year, use (standard normal), cab, hydraulics, and where."""

    at: Ints
    model: Ints
    made: Ints
    use: Floats
    cab: Ints
    auxiliary: Column
    state: Ints

    def put(self, which: Ints, others: "Machines") -> None:
        """Others in the place of some."""
        for name in self.__slots__:
            getattr(self, name)[which] = getattr(others, name)


def _year(times: Ints) -> Floats:
    return np.asarray(1970 + times / YEAR_MS, dtype=np.float64)


def _draw(market: Market, rng: np.random.Generator, at: Ints, ageing: float = 1.0) -> Machines:
    p, m = market.p, len(at)
    sold = [table["sales"] / table["sales"].sum() for table in (market.models, market.states)]
    model, state = (rng.choice(len(shares), m, p=shares) for shares in sold)
    age = ageing * np.minimum(rng.gamma(p.age[0], p.age[1], m), p.age[2])
    made = np.floor(_year(market.times[at]) - age).astype(np.int64)
    use, cab, auxiliary = rng.standard_normal(m), rng.choice(3, m, p=p.cab), rng.random(m) < p.auxiliary
    return Machines(at, model, made, use, cab, auxiliary, state)


def _used(market: Market, m: Machines) -> tuple[Ints, Floats, Floats]:
    """Group, age in years, and the hours that a machine of usual use has behind it."""
    group = market.models["code"][m.model]
    age = _year(market.times[m.at]) - m.made
    return group, age, age * market.groups["hours_a_year"][group]


def _worth(market: Market, m: Machines, hours: Floats) -> Floats:
    """Log price (m, k) at so many true hours (m, k), before the sale's own luck, supply and an earlier sale."""
    p, groups = market.p, market.groups
    group, age, _ = _used(market, m)
    climate = market.states["climate"][m.state]
    region = np.searchsorted(_REGIONS, market.states["region"][m.state])
    closed, air = np.where(climate == "cold", *p.closed), np.where(climate == "hot", *p.air)
    cab = np.choose(m.cab, [-p.open * (climate == "cold"), closed, closed + air])
    floor, new = groups["floor"][group], market.models["price_new"][m.model]
    value = np.log(new * (floor + (1 - floor) * np.exp(-groups["decline"][group] * age)))
    value += cab + np.choose(region, [groups[name][group] for name in _REGIONS])
    value += p.hydraulics * (m.auxiliary & np.isin(groups["group"][group], _AUXILIARY))
    value += market.course(group, age, market.times[m.at])
    wear = np.minimum(hours / groups["life_h"][group][:, None], 2)  # a wreck is worth its parts
    worn = groups["wear"][group][:, None] * np.log1p(np.exp(4 * (wear - 0.6))) / 4
    kept = p.young * np.exp(-3 * wear) * np.minimum(age / 10, 1)[:, None]
    return np.asarray(value[:, None] - worn + kept, dtype=np.float64)


def _noise(p: Parameters, age: Floats) -> Floats:
    return np.asarray(p.noise[0] + p.noise[1] * np.minimum(age, p.noise[2]), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Sales:
    """n sales: machines, place of each one's first sale, true and shown hours, stated use, luck, drifts that act."""

    machines: Machines
    first: Ints
    hours: Floats
    shown: Floats
    gone: Column
    band: Ints
    auctioneer: Ints
    luck: Floats
    struck: Mapping[str, Column]


def _sales(market: Market, scenario: Scenario, dice: Mapping[str, np.random.Generator]) -> Sales:
    p, n, again = market.p, len(market.times), dice["again"]
    struck = {kind: scenario.strikes(kind, n, dice[kind]) for kind in get_args(Kind)}
    machines = _draw(market, dice["machines"], np.arange(n))
    luck = dice["sales"].standard_normal(n)
    young = np.flatnonzero(struck["covariate"])
    machines.put(young, _draw(market, again, young, scenario.size("covariate", p.rental)))
    launched = struck["new_category"] & (market.models["group"][machines.model] == _EXCAVATORS)
    launched &= dice["launched"].random(n) < scenario.size("new_category", p.launched)
    machines.model[launched] = np.flatnonzero(market.models["model"] == _NEW_MODEL)[0]
    first = returning(dice["resold"], market.times, p.resold, 60 * DAY_MS, fresh=struck["prior"])
    machines = Machines(np.arange(n), *(getattr(machines, name)[first] for name in machines.__slots__[1:]))
    tilt, left = scenario.size("prior", p.tilt), np.flatnonzero(struck["prior"])
    while len(left):  # drawn until it is taken, by its price: P(record | price) stays what it was
        drawn, luck[left] = _draw(market, again, left), again.standard_normal(len(left))
        _, age, usual = _used(market, drawn)
        logs = _worth(market, drawn, (usual * np.exp(p.use * drawn.use))[:, None])[:, 0] + _noise(p, age) * luck[left]
        machines.put(left, drawn)
        left = left[again.random(len(left)) >= np.minimum(np.exp(logs) / _DEAREST, 1) ** tilt]
    hours = _used(market, machines)[2] * np.exp(p.use * machines.use)
    dials = dice["sales"].random((4, n))
    shown = np.asarray(np.round(np.where(dials[0] < p.reset[0], dials[1] * p.reset[1], hours)), dtype=np.float64)
    gone = dials[2] < np.where(struck["missing_field"], scenario.size("missing_field", p.blank), p.no_hours)
    band = np.where(dials[3] < p.banded, band_of(machines.use), UNSAID)
    return Sales(machines, first, hours, shown, gone, band, dice["sales"].integers(1, 7, n), luck, struck)


def _outcome(market: Market, sales: Sales, scenario: Scenario) -> tuple[Floats, Truth]:
    """Prices, and what could be known of them."""
    p, m, n = market.p, sales.machines, len(sales.first)
    group, age, usual = _used(market, m)
    before = previous(sales.first)
    lately = (before >= 0) & (market.times - market.times[before] < YEAR_MS)
    count = np.nan_to_num(stepped_count(market.times, m.model, over_ms=90 * DAY_MS, every_ms=DAY_MS))
    sale = -p.supply * np.log1p(count) - p.flip * lately
    banned = (age > _BANNED_AGE) & np.isin(market.groups["group"][group], _BANNED)
    ban = np.log(scenario.size("concept", p.banned)) * banned
    noise = _noise(p, age)
    log = _worth(market, m, sales.hours[:, None])[:, 0] + sale + ban * sales.struck["concept"] + noise * sales.luck
    price = 50 * np.round(np.exp(log) / 50)
    hours, weights = hidden_use(usual, p.use, sales.shown, sales.gone, sales.band, reset=p.reset)
    logs = _worth(market, m, hours) + sale[:, None]
    now = scenario.strength("concept", n)[:, None]
    tilt = scenario.size("prior", p.tilt) * scenario.strength("prior", n)
    logs, weights = np.hstack([logs, logs + ban[:, None]]), np.hstack([(1 - now) * weights, now * weights])
    law = Mixture(weights * np.exp(tilt[:, None] * logs), logs + (tilt * noise**2)[:, None], noise)
    return price, Truth(price, mean=law.mean(), median=law.median())


def _records(market: Market, sales: Sales, scenario: Scenario) -> dict[str, Column]:
    m, models = sales.machines, market.models
    tenths = sales.struck["unit_error"] & (sales.auctioneer == 2)  # noqa: PLR2004 - the one whose meters do
    dates = market.times.astype("datetime64[ms]")
    hours = np.round(sales.shown * np.where(tenths, scenario.size("unit_error", market.p.tenths), 1.0)).astype(np.int64)
    return {
        "sale": named("S", np.arange(len(dates)), 8),
        "machine_id": named("M", sales.first, 8),
        "sold_at": market.times,
        "sale_year": dates.astype("datetime64[Y]").astype(np.int64) + 1970,
        "sale_month": dates.astype("datetime64[M]").astype(np.int64) % 12 + 1,
        "model_id": models["model"][m.model],
        "product_group": models["group"][m.model],
        "product_size": models["size"][m.model],
        "year_made": m.made,
        "age_years": np.round(_year(market.times) - m.made, 1),
        "meter_hours": without(hours, sales.gone),
        "usage_band": without(np.array(BANDS)[np.minimum(sales.band, 2)], sales.band == UNSAID),
        "state": market.states["state"][m.state],
        "enclosure": _CABS[m.cab],
        "hydraulics": np.where(m.auxiliary, "Auxiliary", "Standard"),
        "auctioneer": sales.auctioneer.astype(np.str_),
    }


def _labels(p: Parameters, times: Ints, price: Floats, rng: np.random.Generator) -> Labels:
    """Known when the sale is settled: the dearer, the later."""
    median = p.settled_d[0] * 86_400 * (price / _USUAL) ** 0.3
    late = delays(rng, median, spread=p.settled_d[1], most_s=30 * 86_400)
    wrong, after = np.round(price * 1.1, 2), rng.uniform(2, 10, len(times)) * 86_400
    return reveal(rng, times, price, late, missing=p.lost[0], corrected=p.lost[1], wrong=wrong, after_s=after)
