"""Simulated surveys of obesity levels with a known truth, by the published schema.

A respondent's body index wanders a little. A survey shows weight and height; the level that the clinic finds is the
index (BMI, corrected for muscle in active men and body composition in older women) with an error, cut after the WHO.

The world was fixed before anything was trained on it; changing a parameter needs an ADR.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.simulation.arrivals import arrivals
from shared.simulation.entities import Earlier, as_of, earlier, named, wander
from shared.simulation.ordered import chances, levels
from shared.simulation.revealing import delays, reveal
from shared.simulation.world import Floats, Ints, Request, Truth, Updates, World, changes, without
from shared.simulation.writer import write_history

LEVELS = (
    *("Insufficient_Weight", "Normal_Weight", "Overweight_Level_I", "Overweight_Level_II"),
    *("Obesity_Type_I", "Obesity_Type_II", "Obesity_Type_III"),
)
DAY_S = 86_400.0
YEAR_MS = 365 * 86_400_000
FREQUENCIES = np.array(["no", "Sometimes", "Frequently", "Always"])
TRANSPORT = np.array(["Automobile", "Motorbike", "Bike", "Public_Transportation", "Walking"])
TOUCHED = dict.fromkeys(("prior", "concept"), "NObeyesdad")
TOUCHED |= {"covariate": "Age", "unit_error": "Weight", "missing_field": "FAF", "new_category": "MTRANS"}


class Parameters(msgspec.Struct, frozen=True):
    """Every number of the world. PH: Palechor, de la Hoz Manotas, Data in Brief 25 (2019) 104344, and its data."""

    days: int = 731  # two years; the first third of a history is eight months
    surveys_each: float = 6.0  # surveys of a respondent in that time: plausible, one a season or less
    # The index. Shares: PH table of classes (272 287 290 290 351 297 324 of 2111). Cuts: PH, after WHO.
    shares: tuple[float, ...] = (0.129, 0.136, 0.137, 0.137, 0.166, 0.141, 0.154)
    cuts: tuple[float, ...] = (18.5, 25.0, 27.5, 30.0, 35.0, 40.0)
    # PH's classes are clusters in weight (77 % of its rows were interpolated within a class), so these are.
    centres: tuple[float, ...] = (17.2, 21.8, 26.25, 28.75, 32.5, 37.4, 43.0)
    widths: tuple[float, ...] = (0.5, 1.35, 0.42, 0.42, 0.9, 0.95, 1.6)
    wander_sd: float = 0.35  # index units within a respondent; plausible: 1 kg
    wander_days: float = 180.0
    # BMI overrates fat in muscular men and underrates it in older women; literature: 2 to 4, and 1 to 2 units.
    muscle: float = 3.0
    active: float = 2.0  # FAF from which a man is active
    ageing: float = 1.5
    ageing_from: float = 36.0  # years
    clinic_weight: float = 0.25  # how much of the difference to the last measured BMI counts; plausible
    trend_weight: float = 0.15  # the same of the mean weight of earlier surveys
    examination_sd: float = 0.26  # index units; plausible for bioimpedance beside a scale
    # People. PH: 1068 of 2111 are men; age 14 to 61; height 1.45 to 1.98 m; weight 39 to 173 kg.
    men: float = 0.506
    height: tuple[tuple[float, float], ...] = ((1.62, 0.065), (1.75, 0.07))  # m, women and men; plausible
    age: tuple[float, float, float, float] = (30.0, 0.36, 14.0, 61.0)  # median, log sd, range; older than PH's students
    older: float = 8.0  # years, of the population of the covariate drift
    activity: tuple[float, ...] = (0.30, 0.28, 0.26, 0.16)  # FAF 0 to 3; near PH
    less_active: float = 0.12  # log-odds a point of FAF and level; plausible
    family: tuple[float, ...] = (0.54, 0.54, 0.72, 0.92, 0.97, 0.99, 0.99)  # this and the next by level, near PH
    caloric: tuple[float, ...] = (0.81, 0.72, 0.76, 0.74, 0.96, 0.98, 0.99)
    snacks: tuple[float, ...] = (0.55, 0.60, 0.80, 0.85, 0.92, 0.95, 0.97)  # CAEC is Sometimes
    rare: tuple[float, float] = (0.02, 0.045)  # SMOKE and SCC are yes; PH
    alcohol: tuple[float, ...] = (0.30, 0.66, 0.035, 0.005)
    heavier: tuple[float, ...] = (0.5, 0.5, 0.7, 0.9, 1.2, 1.6, 2.0)  # odds of the levels under the prior drift
    guideline: float = 2.0  # index units by which the cuts from overweight on fall under the concept drift
    pounds: float = 2.20462  # unit error
    scooters: float = 0.3  # share of the surveys with the new category, once it is there
    # The clinic: PH has none; plausible.
    known_at_clinic: float = 0.85
    visit_days: float = 150.0
    waist: tuple[float, float, float] = (22.0, 2.35, 4.0)  # cm: at 0, a unit of BMI, sd
    # Labels come from an examination; the heavier, the more there is to examine. Plausible.
    delay_days: tuple[float, ...] = (3.0, 1.5, 2.0, 2.5, 4.0, 5.0, 6.0)
    delay_law: tuple[float, float] = (0.4, 13.0)  # log sd, longest
    faults: tuple[float, float] = (0.04, 0.02)  # shares that get no label, and a wrong one (a neighbour) first
    correction_days: tuple[float, float] = (2.0, 7.0)
    hours: tuple[float, ...] = (*(0.1,) * 7, 0.5, *(1.0,) * 4, 0.8, *(1.0,) * 5, 0.9, 0.8, 0.6, 0.4, 0.2, 0.1)
    weekdays: tuple[float, ...] = (1.1, 1.1, 1.0, 1.0, 0.9, 0.4, 0.3)
    months: tuple[float, ...] = (1.2, 1.1, 1.0, 1.0, 1.0, 0.9, 0.8, 0.8, 1.1, 1.1, 1.0, 0.8)


PARAMETERS = Parameters()
P = PARAMETERS


@dataclass(frozen=True, slots=True)
class People:
    """Respondents, (m,) each; `level` is the cluster their index comes from, `faf` their activity 0..3."""

    level: Ints
    index: Floats
    male: NDArray[np.bool_]
    age: Floats
    height: Floats
    faf: Floats
    family: NDArray[np.bool_]
    at_clinic: NDArray[np.bool_]


def write(folder: Path, seed: int) -> None:
    """The history: two stationary years."""
    write_history(simulate, folder, seed)


def simulate(request: Request) -> World:
    """A stream of surveys and its truth; the same request gives the same world."""
    rng, n, scenario = np.random.default_rng(request.seed), request.records, request.scenario
    times = arrivals(rng, n, request.start_ms, P.days, hours=P.hours, weekdays=P.weekdays, months=P.months)
    m = max(1, round(n / P.surveys_each))
    people = _people(rng, m)
    codes = rng.choice(m, n, p=_shares(rng.gamma(2.0, size=m)))
    # Under a drift of inputs or shares the surveys come from another population: m of each follow in `people`.
    codes = np.where(scenario.strikes("covariate", n, rng), codes + m, codes)
    codes = np.where(scenario.strikes("prior", n, rng), codes % m + 2 * m, codes)
    updates, bmi, clinic = _bodies(rng, people, codes, times, request.start_ms)
    columns = _answers(rng, people, codes, times, bmi, request.start_ms)
    before = earlier(codes, times, columns["Weight"], YEAR_MS)
    posterior, y = _levels(rng, request, columns, clinic, before)
    columns = _shown(rng, request, columns)
    return World(
        task="multiclass",
        id_field="survey_id",
        key_field="respondent_id",
        records=_names(codes, times) | columns,
        times=times,
        truth=Truth(y, LEVELS, posterior),
        labels=_labels(rng, times, y),
        updates=(updates,),
        changes=changes(scenario, times, TOUCHED),
    )


def _names(codes: Ints, times: Ints) -> dict[str, Any]:
    who, ids = named("R", codes), named("S", np.arange(len(codes)), 7)
    contact = np.char.add(np.char.lower(who), "@example.org")
    return {"survey_id": ids, "respondent_id": who, "surveyed_at": times, "contact": contact}


def _shares(weights: Floats) -> Floats:
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _people(rng: np.random.Generator, m: int) -> People:
    """Respondents of three populations, m of each: usual, older and less active, heavier."""
    tilted = _shares(np.array(P.shares) * np.array(P.heavier))
    level = np.concatenate([rng.choice(7, 2 * m, p=_shares(np.array(P.shares))), rng.choice(7, m, p=tilted)])
    male, other = rng.random(3 * m) < P.men, np.repeat([0.0, 1.0, 0.0], m)
    median, spread, low, high = P.age
    age = np.clip(median * np.exp(rng.normal(0.0, spread, 3 * m)) + P.older * other, low, high)
    mean, sd = np.array(P.height)[male.astype(np.int64)].T
    odds = _activity(level + 3.0 * other)
    faf = (rng.random((3 * m, 1)) > np.cumsum(odds, axis=1)[:, :3]).sum(axis=1).astype(np.float64)
    return People(
        level=level,
        index=rng.normal(np.array(P.centres)[level], np.array(P.widths)[level]),
        male=male,
        age=age,
        height=np.round(np.clip(rng.normal(mean, sd), 1.45, 1.98), 2),
        faf=faf,
        family=rng.random(3 * m) < np.array(P.family)[level],
        at_clinic=rng.random(3 * m) < P.known_at_clinic,
    )


def _activity(level: Floats) -> Floats:
    """Probabilities of FAF 0..3 by level: (n, 4)."""
    odds = np.array(P.activity) * np.exp(-P.less_active * np.multiply.outer(level - 3.0, np.arange(4.0)))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True), dtype=np.float64)


def _correction(male: NDArray[np.bool_], faf: Floats, age: Floats) -> Floats:
    """What BMI gets wrong: to be added to it for the index."""
    return P.ageing * (~male & (age >= P.ageing_from)) - P.muscle * (male & (faf >= P.active))


def _bodies(
    rng: np.random.Generator, people: People, codes: Ints, times: Ints, start_ms: int
) -> tuple[Updates, Floats, Floats]:
    """Visits to the clinic as updates; the true BMI at each survey; the last measured one as of it (NaN: none)."""
    gaps = rng.exponential(P.visit_days, (len(people.level), 8)).cumsum(axis=1) - P.visit_days * 1.5
    who, nth = np.nonzero((gaps < P.days) & people.at_clinic[:, None] & np.isin(np.arange(len(gaps)), codes)[:, None])
    when = start_ms + (gaps[who, nth] * DAY_S * 1000).astype(np.int64)
    everyone, moments = np.concatenate([codes, who]), np.concatenate([times, when])
    order = np.argsort(moments, kind="stable")
    drift = np.empty(len(order))
    drift[order] = wander(rng, everyone[order], moments[order], sd=P.wander_sd, days=P.wander_days)
    # Age moves by two years at most: the correction of the first day keeps a body from jumping on a birthday.
    bmi = (people.index - _correction(people.male, people.faf, people.age))[everyone] + drift
    measured = np.round(bmi[len(codes) :], 1)
    at, unit, sd = P.waist
    waist = np.round(at + unit * measured + rng.normal(0.0, sd, len(who)), 0)
    seen = as_of(codes, times, who, when)
    clinic = np.where(seen >= 0, measured[np.maximum(seen, 0)], np.nan) if len(who) else np.full(len(codes), np.nan)
    order = np.argsort(when, kind="stable")
    values = {"clinic_bmi": measured[order], "clinic_waist": waist[order], "clinic_visits": nth[order] + 1}
    return Updates("history", named("R", who[order]), when[order], values), bmi[: len(codes)], clinic


def _answers(
    rng: np.random.Generator, people: People, codes: Ints, times: Ints, bmi: Floats, start_ms: int
) -> dict[str, Any]:
    """The 16 fields as they ought to be sent."""
    n, level, height = len(codes), people.level[codes], people.height[codes]
    age = np.floor(people.age[codes] + (times - start_ms) / YEAR_MS)
    yes = np.array(["no", "yes"])
    snacks = np.where(rng.random(n) < np.array(P.snacks)[level], 1, rng.choice([0, 2, 3], n, p=[0.2, 0.6, 0.2]))
    drives = rng.random(n) < np.clip((age - 18.0) / 40.0, 0.05, 0.6)
    return {
        "Gender": np.array(["Female", "Male"])[people.male[codes].astype(np.int64)],
        "Age": age,
        "Height": height,
        "Weight": np.round(np.clip(bmi * height**2, 35.0, 180.0), 1),
        "family_history_with_overweight": yes[people.family[codes].astype(np.int64)],
        "FAVC": yes[(rng.random(n) < np.array(P.caloric)[level]).astype(np.int64)],
        "FCVC": rng.choice([1.0, 2.0, 3.0], n, p=[0.1, 0.5, 0.4]),
        "NCP": rng.choice([1.0, 2.0, 3.0, 4.0], n, p=[0.15, 0.08, 0.7, 0.07]),
        "CAEC": FREQUENCIES[snacks],
        "SMOKE": yes[(rng.random(n) < P.rare[0]).astype(np.int64)],
        "CH2O": rng.choice([1.0, 2.0, 3.0], n, p=[0.25, 0.5, 0.25]),
        "SCC": yes[(rng.random(n) < P.rare[1]).astype(np.int64)],
        "FAF": people.faf[codes],
        "TUE": rng.choice([0.0, 1.0, 2.0], n, p=[0.42, 0.42, 0.16]),
        "CALC": FREQUENCIES[rng.choice(4, n, p=P.alcohol)],
        "MTRANS": TRANSPORT[np.where(drives, 0, rng.choice([1, 2, 3, 4], n, p=[0.02, 0.01, 0.91, 0.06]))],
    }


def _levels(
    rng: np.random.Generator, request: Request, columns: dict[str, Any], clinic: Floats, before: Earlier
) -> tuple[Floats, Floats]:
    """The probability of each level given what is shown, (n, 7), and the level that is found, (n,)."""
    scenario, n, male = request.scenario, len(clinic), columns["Gender"] == "Male"
    square = columns["Height"] ** 2
    bmi = columns["Weight"] / square
    bent = P.clinic_weight * np.clip(np.nan_to_num(clinic - bmi), -2.0, 2.0)
    bent = bent + P.trend_weight * np.clip(np.nan_to_num(before.mean / square - bmi), -2.0, 2.0)
    index = bmi + bent + _correction(male, columns["FAF"], columns["Age"])
    old, now = np.array(P.cuts), np.array(P.cuts)
    now[1:] -= scenario.size("concept", P.guideline)
    changed, share = scenario.strikes("concept", n, rng), scenario.strength("concept", n)[:, None]
    found = index + rng.normal(0.0, P.examination_sd, n)
    y = np.where(changed, levels(found, now), levels(found, old))

    def told(x: Floats) -> Floats:
        return (1.0 - share) * chances(x, old, P.examination_sd) + share * chances(x, now, P.examination_sd)

    hidden = male & (scenario.strength("missing_field", n) > 0.0)
    posterior = told(index)
    if hidden.any():
        p = _active(bmi + bent)[:, None]
        either = p * told(bmi + bent - P.muscle) + (1.0 - p) * told(bmi + bent)
        posterior = np.where(hidden[:, None], either, posterior)
    return posterior, y


def _active(lazy: Floats) -> Floats:
    """The probability that a man is active who does not say so: his index is either of two."""
    spread = np.sqrt(np.array(P.widths) ** 2 + P.wander_sd**2)
    share = np.array(P.shares) / np.sum(P.shares)
    moving = _activity(np.arange(7.0))[:, int(P.active) :].sum(axis=1)

    def density(x: Floats, weight: Floats) -> Floats:
        z = (x[:, None] - np.array(P.centres)) / spread
        return np.asarray((weight * np.exp(-0.5 * z**2) / spread).sum(axis=1), dtype=np.float64) + 1e-300

    yes, no = density(lazy - P.muscle, share * moving), density(lazy, share * (1.0 - moving))
    return yes / (yes + no)


def _shown(rng: np.random.Generator, request: Request, columns: dict[str, Any]) -> dict[str, Any]:
    """The fields as they are sent: in another unit, not at all, or with a category that is new."""
    scenario, n = request.scenario, len(columns["Age"])
    wrong = scenario.strikes("unit_error", n, rng)
    weight = np.where(wrong, np.round(columns["Weight"] * scenario.size("unit_error", P.pounds), 1), columns["Weight"])
    new = scenario.strikes("new_category", n, rng) & (rng.random(n) < P.scooters)
    transport = np.where(new, "E_Scooter", columns["MTRANS"])
    faf = without(columns["FAF"], scenario.strength("missing_field", n) > 0.0)
    return columns | {"Weight": weight, "FAF": faf, "MTRANS": transport}


def _labels(rng: np.random.Generator, times: Ints, y: Floats) -> Any:
    n = len(times)
    median = np.array(P.delay_days)[y.astype(np.int64)] * DAY_S
    neighbour = np.where(y == 0, 1, np.where(y == len(LEVELS) - 1, y - 1, y + rng.choice([-1.0, 1.0], n)))
    return reveal(
        rng,
        times,
        y,
        delays(rng, median, spread=P.delay_law[0], most_s=P.delay_law[1] * DAY_S),
        missing=P.faults[0],
        corrected=P.faults[1],
        wrong=neighbour,
        after_s=rng.uniform(*P.correction_days, n) * DAY_S,
    )
