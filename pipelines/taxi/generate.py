"""A seeded city of taxi trips whose truth is known: the law of each trip's minutes, given its record and features.

Run by `tailrace generate taxi`, and as the history hook of pipeline.yaml. `zones.csv` has the city: names and places of
TLC zones, weight of their pick-ups (roughly TLC's), and how much of the core they are (plausible). Growth of traffic
and works in the streets go on in every scenario: they are the city's own slow change, and no drift on schedule.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np

from shared.simulation.arrivals import DAY_MS, HOUR_MS, arrivals
from shared.simulation.clock import Clock, wall_clock
from shared.simulation.entities import named
from shared.simulation.lognormal import Mixture, normal_nodes
from shared.simulation.revealing import delays, reveal
from shared.simulation.scenario import Kind, Scenario
from shared.simulation.stepped import stepped_count
from shared.simulation.weather import Sky, hourly_weather
from shared.simulation.world import Column, Floats, Ints, Labels, Request, Truth, World, changes, without
from shared.simulation.writer import write_history


class Parameters(msgspec.Struct, frozen=True):
    """The world's numbers, chosen before any model was trained. TLC: trip records of New York's TLC, yellow cabs."""

    trips_a_day: int = 750  # plausible: one fleet of 40 cabs
    utc_offset_h: int = -5  # local standard time, all year
    detour: tuple[float, float] = (1.3, 0.15)  # TLC: a route is 1.2-1.4 times the straight line; sd of its logarithm
    shortest_km: float = 0.9  # TLC: median trip 2.7 km, shortest tenth below 1 km
    reach_km: float = 2.4  # gravity of destinations; TLC: mean trip 4-5 km
    own_zone: float = 1.0  # plausible: trips inside a zone, as a share of what gravity says
    to_airport: float = 0.17  # TLC: an airport at one end of 8-10 % of the trips
    free_kmh: tuple[float, float, float] = (27, 26, 55)  # plausible: in the core, gain outside of it, at an airport
    highway: tuple[float, float, float] = (4, 1.6, 25)  # plausible: km from which, km/h a km, at most km/h
    jam: tuple[float, float] = (1.6, 1.6)  # TLC: 10-12 km/h in Midtown at noon, 25 at night; exponent of the core
    fixed_min: tuple[float, float] = (1.5, 2.0)  # plausible: start and stop; more at an airport
    crossing: tuple[float, float] = (20, 0.4)  # plausible: minutes at bridges and tunnels, a unit of load above 0.4
    rain: tuple[float, float] = (0.10, 4.0)  # literature: rain costs 5-20 % of speed; mm/h from which no more
    snow: float = 0.20  # literature: falling snow costs 20-35 %
    traffic: float = 0.05  # plausible: each e-fold of the zone's trips within the hour costs 5 % of speed
    growth: float = 0.18  # TLC: a trip took 15-20 % longer in June 2016 than in January
    works: tuple[float, float] = (0.10, 30)  # plausible: sd of a zone's log speed by works in its streets; days
    noise: tuple[float, float] = (0.17, 0.08)  # literature: travel times vary by 15-30 %; gain under load
    missing: tuple[float, float] = (0.005, 0.01)  # plausible: share without distance, without passengers
    upload_min: tuple[float, float, float] = (2, 20, 0.8)  # plausible: medians of vendors 1 and 2; sd of the logarithm
    unlabelled: float = 0.02  # plausible: share of trips whose end is lost
    corrected: float = 0.015  # plausible: the meter ran on, and the minutes are mended within a day
    # Sizes of the drifts: a scenario says when, and may say another size.
    outward: float = 4.0  # covariate: weight of destinations outside of the core
    tilt: float = 0.5  # prior: trips come with weight minutes ** tilt
    calmed: float = 0.70  # concept: speed inside the core by day, against before
    mile: float = 0.621371  # unit_error: vendor 2 sends miles
    blank: float = 0.6  # missing_field: share without distance
    opened: float = 0.5  # new_category: share of the drop-offs around that now go to the new zone


PARAMETERS = Parameters()
_ZONE = dict.fromkeys(("covariate", "new_category"), "dropoff_zone")
_KM = dict.fromkeys(("unit_error", "missing_field"), "distance_km")
FIELDS = {**_ZONE, **_KM, "prior": "minutes", "concept": "minutes"}
NEW_ZONE, AROUND = "Hudson Yards", ("Penn Station", "Chelsea", "Clinton")
# Load of the streets, and demand, by local hour in percent (TLC's daily curves, roughly).
_WEEKDAY = "12 6 3 2 3 10 30 70 105 105 100 105 110 110 115 120 125 135 130 100 75 60 50 30"
_WEEKEND = "40 38 33 28 20 8 5 8 15 25 38 50 60 65 68 70 70 70 70 65 55 50 50 45"
_DEMAND = "45 28 20 14 12 13 30 60 85 85 80 82 88 87 90 87 75 95 115 120 110 105 100 75"
_CORE, _DAY_LOAD, _SATURDAY, _LONGEST_MIN = 0.75, 0.5, 5, 150.0


def simulate(request: Request) -> World:
    """Trips in order of their start; the same request gives the same city."""
    p, n, scenario = PARAMETERS, request.records, request.scenario
    dice = {name: np.random.default_rng([request.seed, i]) for i, name in enumerate(_DICE)}
    city, days = _city(p), -(-n // p.trips_a_day)
    hours = np.roll(_curve(_DEMAND), -p.utc_offset_h).tolist()
    times = arrivals(dice["times"], n, request.start_ms, days, hours=hours)
    sky = hourly_weather(dice["weather"], city.listed, request.start_ms, days * 24 + 1, mild_c=12.0)
    knots = int(days / p.works[1]) + 2
    works = dice["works"].normal(0, p.works[0], (len(city.names), knots)).T
    clock = wall_clock(times, p.utc_offset_h)
    load = np.where(clock.weekday < _SATURDAY, _curve(_WEEKDAY)[clock.hour], _curve(_WEEKEND)[clock.hour])
    streets = Streets(p, city, sky, clock, load, times, request.start_ms, works)
    trips = _trips(streets, scenario, dice)
    blank = _blank(streets, trips, scenario, dice["blank"])
    minutes, truth = _outcome(streets, trips, blank, scenario)
    return World(
        task="regression",
        id_field="trip",
        key_field="pickup_zone",
        records=_records(streets, trips, blank, scenario, dice["records"]),
        times=times,
        truth=truth,
        labels=_labels(streets, trips, minutes, dice["labels"]),
        updates=(sky.updates("weather"),),
        changes=changes(scenario, times, FIELDS),
    )


def write(folder: Path, seed: int) -> None:
    """The history: a stationary stream."""
    write_history(simulate, folder, seed)


_DICE = ("times", "weather", "works", "trips", "vendor", "again", "blank", "records", "labels", *get_args(Kind))


def _curve(text: str) -> Floats:
    return np.array(text.split(), dtype=np.float64) / 100


@dataclass(frozen=True, slots=True)
class City:
    """k zones, and (k, k) of their pairs: km of a usual route, and km/h in empty streets."""

    names: Column
    boroughs: Column
    weight: Floats
    core: Floats
    airport: Column
    km: Floats
    free: Floats

    @property
    def listed(self) -> tuple[str, ...]:
        """The boroughs, each once, in order."""
        return tuple(np.unique(self.boroughs).tolist())

    def chances(self, p: Parameters, outward: float) -> Floats:
        """(k, k) cumulative chances of the destinations of each start."""
        pull = self.weight * np.where(self.core < _CORE, outward, 1.0)
        far = self.airport | self.airport[:, None]
        gravity = np.where(far, pull * p.to_airport, pull * np.exp(-self.km / p.reach_km))
        np.fill_diagonal(gravity, np.diag(gravity) * np.where(self.airport, 0, p.own_zone))
        return np.asarray((gravity / gravity.sum(axis=1, keepdims=True)).cumsum(axis=1), dtype=np.float64)


def _city(p: Parameters) -> City:
    with Path(__file__).with_name("zones.csv").open(encoding="utf-8", newline="") as file:
        cells = np.array(list(csv.reader(file))[1:])
    lat, lon, weight, core = cells[:, 2:].astype(np.float64).T
    east = (lon[:, None] - lon) * 111.3 * np.cos(np.radians(lat.mean()))
    km = np.maximum(p.detour[0] * np.hypot(east, (lat[:, None] - lat) * 111.2), p.shortest_km)
    airport = np.char.endswith(cells[:, 0], "Airport")
    base, gain, flown = p.free_kmh
    free = np.where(airport, flown, base + gain * (1 - core))
    start, slope, most = p.highway
    pairs = np.sqrt(free[:, None] * free) + np.clip(slope * (km - start), 0, most)
    return City(cells[:, 0], cells[:, 1], weight, core, airport, km, pairs)


@dataclass(frozen=True, slots=True)
class Streets:
    """What a trip meets, by the place `at` of its record in the stream."""

    p: Parameters
    city: City
    sky: Sky
    clock: Clock
    load: Floats  # (n,) of the streets: 1 is a usual working day
    times: Ints
    start: int
    works: Floats  # (knots, zones) log speed

    def pace(self, pickup: Ints, dropoff: Ints, at: Ints) -> tuple[Floats, Floats]:
        """Minutes that do not depend on the way, and minutes a km, before traffic and any change of concept."""
        p, city, load = self.p, self.city, self.load[at]
        # In the morning it is the destination's core that is full, in the evening the start's.
        start = np.clip((self.clock.hour[at] - 6) / 12, 0.25, 0.75)
        core = start * city.core[pickup] + (1 - start) * city.core[dropoff]
        kmh = city.free[pickup, dropoff] * np.exp(self._works(pickup, dropoff, at))
        slower = (1 + p.jam[0] * core ** p.jam[1] * load) * self._wet(pickup, at)
        slower *= 1 + p.growth * (self.times[at] - self.start) / (180 * DAY_MS)
        apart = city.boroughs[pickup] != city.boroughs[dropoff]
        queue = apart * p.crossing[0] * np.maximum(load - p.crossing[1], 0)
        fixed = p.fixed_min[0] + p.fixed_min[1] * (city.airport[pickup] | city.airport[dropoff]) + queue
        return fixed, 60 * slower / kmh

    def noise(self, at: Ints) -> Floats:
        """Standard deviation of the log minutes, given all that is known."""
        return self.p.noise[0] + self.p.noise[1] * self.load[at]

    def _wet(self, pickup: Ints, at: Ints) -> Floats:
        p, sky = self.p, self.sky.at(self.city.boroughs[pickup], self.times[at])
        rain = p.rain[0] * np.sqrt(np.minimum(sky["rain_mm"], p.rain[1])) * (0.5 + self.load[at])
        return np.asarray(1 + rain + p.snow * (sky["snow_mm"] > 0), dtype=np.float64)

    def _works(self, pickup: Ints, dropoff: Ints, at: Ints) -> Floats:
        knot, part = np.divmod((self.times[at] - self.start) / (self.p.works[1] * DAY_MS), 1)
        left = knot.astype(np.int64)
        ends = [(1 - part) * self.works[left, zone] + part * self.works[left + 1, zone] for zone in (pickup, dropoff)]
        return np.asarray((ends[0] + ends[1]) / 2, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Trips:
    """n trips: zones, true km, luck of the streets (standard normal), vendor, and which records each drift acts on."""

    pickup: Ints
    dropoff: Ints
    km: Floats
    luck: Floats
    vendor: Ints
    struck: dict[str, Column]

    def put(self, at: Ints, drawn: tuple[Ints, Ints, Floats, Floats]) -> None:
        """Other routes at some places."""
        self.pickup[at], self.dropoff[at], self.km[at], self.luck[at] = drawn


def _draw(streets: Streets, rng: np.random.Generator, n: int, outward: float) -> tuple[Ints, Ints, Floats, Floats]:
    """Start, destination, km and luck of n trips."""
    p, city = streets.p, streets.city
    pickup = rng.choice(len(city.names), n, p=city.weight / city.weight.sum())
    dropoff = (city.chances(p, outward)[pickup] < rng.random(n)[:, None]).sum(axis=1)
    return pickup, dropoff, city.km[pickup, dropoff] * np.exp(rng.normal(0, p.detour[1], n)), rng.standard_normal(n)


def _trips(streets: Streets, scenario: Scenario, dice: Mapping[str, np.random.Generator]) -> Trips:
    p, city, n = streets.p, streets.city, len(streets.times)
    struck = {kind: scenario.strikes(kind, n, dice[kind]) for kind in get_args(Kind)}
    vendor = np.where(dice["vendor"].random(n) < 0.45, 1, 2)  # noqa: PLR2004 - TLC: vendor 2 has the larger half
    trips = Trips(*_draw(streets, dice["trips"], n, 1.0), vendor, struck)
    outward = np.flatnonzero(struck["covariate"])
    trips.put(outward, _draw(streets, dice["again"], len(outward), scenario.size("covariate", p.outward)))
    tilt, left = scenario.size("prior", p.tilt), np.flatnonzero(struck["prior"])
    while len(left):  # drawn until it is taken, by its minutes: P(record | minutes) stays what it was
        drawn = _draw(streets, dice["again"], len(left), 1.0)
        fixed, pace = streets.pace(drawn[0], drawn[1], left)
        minutes = (fixed + drawn[2] * pace) * np.exp(streets.noise(left) * drawn[3])
        trips.put(left, drawn)
        left = left[dice["again"].random(len(left)) >= np.minimum(minutes / _LONGEST_MIN, 1) ** tilt]
    opened = struck["new_category"] & np.isin(city.names[trips.dropoff], AROUND)
    opened &= dice["new_category"].random(n) < scenario.size("new_category", p.opened)
    trips.dropoff[opened] = int(np.flatnonzero(city.names == NEW_ZONE)[0])
    return trips


def _blank(streets: Streets, trips: Trips, scenario: Scenario, rng: np.random.Generator) -> Column:
    """Where no distance is sent."""
    dice, size = rng.random(len(trips.km)), scenario.size("missing_field", streets.p.blank)
    return np.asarray(dice < np.where(trips.struck["missing_field"], size, streets.p.missing[0]))


def _outcome(streets: Streets, trips: Trips, blank: Column, scenario: Scenario) -> tuple[Floats, Truth]:
    """Minutes, and what could be known of them: a missing distance is guessed from the pair of zones."""
    p, city, every = streets.p, streets.city, np.arange(len(trips.km))
    fixed, pace = streets.pace(trips.pickup, trips.dropoff, every)
    counts = stepped_count(streets.times, trips.pickup, over_ms=HOUR_MS, every_ms=60_000)
    pace = pace * (1 + p.traffic * np.log1p(np.nan_to_num(counts)))
    inside = np.minimum(city.core[trips.pickup], city.core[trips.dropoff]) >= _CORE
    calmed = pace * np.where(inside & (streets.load > _DAY_LOAD), 1 / scenario.size("concept", p.calmed), 1.0)
    noise = streets.noise(every)
    truly = np.where(trips.struck["concept"], calmed, pace)
    minutes = np.round((fixed + trips.km * truly) * np.exp(noise * trips.luck), 2)
    points, weights = normal_nodes(5)
    guessed = city.km[trips.pickup, trips.dropoff][:, None] * np.exp(p.detour[1] * points)
    km = np.where(blank[:, None], guessed, trips.km[:, None])
    now = scenario.strength("concept", len(every))[:, None]
    logs = np.log(np.hstack([fixed[:, None] + km * pace[:, None], fixed[:, None] + km * calmed[:, None]]))
    shares = np.hstack([(1 - now) * weights, now * weights])
    tilt = scenario.size("prior", p.tilt) * scenario.strength("prior", len(every))
    law = Mixture(shares * np.exp(tilt[:, None] * logs), logs + (tilt * noise**2)[:, None], noise)
    return minutes, Truth(minutes, mean=law.mean(), median=law.median())


def _records(
    streets: Streets, trips: Trips, blank: Column, scenario: Scenario, rng: np.random.Generator
) -> dict[str, Column]:
    p, city, n = streets.p, streets.city, len(trips.km)
    mile = scenario.size("unit_error", p.mile)
    shown = np.round(np.where(trips.struck["unit_error"] & (trips.vendor == 2), mile, 1.0) * trips.km, 2)  # noqa: PLR2004 - vendor 2
    passengers = rng.choice(6, n, p=[0.71, 0.14, 0.04, 0.02, 0.05, 0.04]) + 1
    return {
        "trip": named("T", np.arange(n), 8),
        "vendor": trips.vendor.astype(np.str_),
        "pickup_at": streets.times,
        "pickup_zone": city.names[trips.pickup],
        "pickup_borough": city.boroughs[trips.pickup],
        "dropoff_zone": city.names[trips.dropoff],
        "hour": streets.clock.hour,
        "weekday": streets.clock.weekday,
        "day": streets.clock.day,
        "distance_km": without(shown, blank),
        "passengers": without(passengers, rng.random(n) < p.missing[1]),
    }


def _labels(streets: Streets, trips: Trips, minutes: Floats, rng: np.random.Generator) -> Labels:
    """Known when the trip is over and its meter has sent it."""
    p = streets.p
    medians = 60 * np.where(trips.vendor == 1, p.upload_min[0], p.upload_min[1])
    late = 60 * minutes + delays(rng, medians, spread=p.upload_min[2], most_s=8 * 3600)
    wrong, after = np.round(minutes * rng.uniform(1.2, 2.5, len(minutes)), 2), rng.uniform(1, 10, len(minutes)) * 3600
    told = {"missing": p.unlabelled, "corrected": p.corrected}
    return reveal(rng, streets.times, minutes, late, wrong=wrong, after_s=after, **told)
