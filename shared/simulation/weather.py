"""Hourly weather of a few places that share their fronts: what producers publish, and what acts in a world."""

from dataclasses import dataclass

import numpy as np

from shared.simulation.arrivals import HOUR_MS
from shared.simulation.world import Column, Floats, Ints, Updates

_YEAR_H = 365.25 * 24
_COLDEST_H = 20 * 24  # 20 January
_FRONT_H = 72


@dataclass(frozen=True, slots=True)
class Sky:
    """Readings (places, hours) by name, one an hour from `start` (ms, a full hour) on, known at the hour."""

    places: tuple[str, ...]
    start: int
    readings: dict[str, Floats]

    def at(self, places: Column, times: Ints) -> dict[str, Floats]:
        """The newest readings at each of n places and times: (n,) by name."""
        codes = np.searchsorted(self.places, places)  # names are in order
        hours = (times - self.start) // HOUR_MS
        return {name: table[codes, hours] for name, table in self.readings.items()}

    def updates(self, group: str) -> Updates:
        """All of it as feature updates, hour by hour."""
        hours = next(iter(self.readings.values())).shape[1]
        time = np.repeat(self.start + HOUR_MS * np.arange(hours), len(self.places))
        entity = np.tile(np.array(self.places), hours)
        return Updates(group, entity, time, {name: table.T.ravel() for name, table in self.readings.items()})


def hourly_weather(rng: np.random.Generator, places: tuple[str, ...], start: int, hours: int, *, mild_c: float) -> Sky:
    """Weather of the temperate north: seasons, days, fronts, spells of rain, and snow where it is cold.

    Args:
        rng: the dice.
        places: their names, in order of the alphabet.
        start: first hour (ms since 1970 UTC).
        hours: how many.
        mild_c: mean temperature of the year (C).
    """
    shape = (len(places), hours)
    hour = np.arange(hours) + start // HOUR_MS
    season = -12 * np.cos(2 * np.pi * (hour % _YEAR_H - _COLDEST_H) / _YEAR_H)
    day = -3 * np.cos(2 * np.pi * (hour % 24 - 9) / 24)
    front = np.convolve(rng.standard_normal(hours + _FRONT_H - 1), np.ones(_FRONT_H), "valid") / np.sqrt(_FRONT_H)
    temp = mild_c + season + day + 4 * front + rng.normal(0, 0.4, shape)
    fall = _spells(rng, hours) * rng.uniform(0.8, 1.2, shape)
    cold = temp < 1
    clear = 16 - 2 * fall - 4 * (fall > 0) * cold + rng.normal(0, 0.5, shape)
    readings = {
        "temp_c": temp,
        "rain_mm": np.where(cold, 0.0, fall),
        "snow_mm": np.where(cold, fall, 0.0),
        "wind_kmh": np.clip(14 + 5 * np.roll(front, 12) + rng.normal(0, 4, shape), 0, None),
        "visibility_km": np.clip(clear, 0.5, 16),
    }
    return Sky(places, start, {name: np.round(table, 1) for name, table in readings.items()})


def _spells(rng: np.random.Generator, hours: int) -> Floats:
    """Millimetres an hour: a tenth of the hours are wet, five in a row, most of them weakly."""
    dice, rate = rng.random(hours), rng.gamma(1.2, 1.5, hours)
    wet = False
    fall = np.zeros(hours)
    for i in range(hours):
        wet = dice[i] > 0.2 if wet else dice[i] < 0.025  # noqa: PLR2004 - chances of its end and of its start
        fall[i] = rate[i] if wet else 0.0
    return fall
