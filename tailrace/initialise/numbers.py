"""Numbers as people write them: thousand separators, decimal commas, currency signs, percent, a unit behind."""

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_PLAIN = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?$"
_WHOLE = r"^[+-]?[0-9]+$"
_MONEY = "[$€£¥₹]|USD|EUR|GBP|CHF|JPY|INR"
_DRESSED = re.compile(
    rf"(?P<open>\()?\s*(?P<sign>[+\-\u2212]?)\s*(?P<before>{_MONEY})?\s*(?P<sign2>[+\-\u2212]?)"
    r"(?P<core>\d[\d.,'\u2019\u00a0\u202f ]*|[.,]\d+)\s*(?P<after>[^\d\s.,()+\-][^\d\s]{0,7})?\s*(?P<close>\))?",
    re.ASCII,
)
_BLANKS = str.maketrans("", "", "'\u2019\u00a0\u202f ")
_POINT = re.compile(r"(?:\d+|\d{1,3}(?:,\d{3})+)?(?:\.\d*)?", re.ASCII)
_COMMA = re.compile(r"(?:\d+|\d{1,3}(?:\.\d{3})+)?(?:,\d*)?", re.ASCII)
_HUGE = 1e30  # beyond a model's 32-bit numbers, or nearly


@dataclass(frozen=True, slots=True)
class Numbers:
    """k distinct texts as numbers: (k,) values, NaN where a text is none; `whole[i]`: written as a whole number.

    `unit` is what stands beside the numbers, `how` says in words what was taken off.
    """

    values: NDArray[np.float64]
    whole: NDArray[np.bool_]
    unit: str = ""
    how: str = ""


def parse_numbers(texts: list[str], counts: NDArray[np.int64], *, comma_first: bool) -> Numbers:
    """Read texts as numbers.

    Args:
        texts: k distinct texts.
        counts: (k,) how often each stands.
        comma_first: 1,234 alone is 1.234 rather than 1234 (a file whose cells are divided by semicolons).
    """
    values, whole = _plain(texts)
    rest = np.flatnonzero(np.isnan(values)).tolist()
    unit, how = _dressed(texts, counts, values, whole, rest, comma_first=comma_first) if rest else ("", "")
    values[~(np.abs(values) < _HUGE)] = np.nan
    return Numbers(values, whole, unit, how)


def _plain(texts: list[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """What needs no reading: millions of texts at once, where a loop would take minutes."""
    array = pa.array(texts, pa.large_string())
    plain = pc.match_substring_regex(array, _PLAIN)
    values = pc.cast(pc.if_else(plain, pc.ascii_ltrim(array, "+"), None), pa.float64())
    whole = pc.match_substring_regex(array, _WHOLE)
    return (
        values.to_numpy(zero_copy_only=False).astype(np.float64),
        whole.to_numpy(zero_copy_only=False).astype(np.bool_),
    )


def _dressed(
    texts: list[str],
    counts: NDArray[np.int64],
    values: NDArray[np.float64],
    whole: NDArray[np.bool_],
    rest: list[int],
    *,
    comma_first: bool,
) -> tuple[str, str]:
    matches = {i: match for i in rest if (match := _DRESSED.fullmatch(texts[i])) and _balanced(match)}
    unit = _unit(matches, counts)
    fitting = {i: m for i, m in matches.items() if _beside(m) in ("", unit)}
    cores = {i: m["core"].translate(_BLANKS) for i, m in fitting.items()}
    plain = {i: texts[i] for i in range(len(texts)) if i not in matches and not np.isnan(values[i])}
    comma = _is_comma([*cores.values(), *plain.values()], comma_first=comma_first)
    style = _COMMA if comma else _POINT
    for i, core in cores.items():
        if style.fullmatch(core):
            negative = "(" in (fitting[i]["open"] or "") or any(
                fitting[i][s] in "-\u2212" for s in ("sign", "sign2") if fitting[i][s]
            )
            bare = core.replace(".", "").replace(",", ".") if comma else core.replace(",", "")
            values[i] = -float(bare) if negative else float(bare)
            whole[i] = "." not in bare
    if comma:  # 1.234 is 1234 there as well
        for i, text in plain.items():
            if re.fullmatch(r"\d{1,3}(\.\d{3})+", text):
                values[i], whole[i] = float(text.replace(".", "")), True
    return unit, _how([cores[i] for i in cores if not np.isnan(values[i])], unit, comma=comma)


def _balanced(match: re.Match[str]) -> bool:
    return bool(match["open"]) == bool(match["close"])


def _beside(match: re.Match[str]) -> str:
    return match["before"] or match["after"] or ""


def _unit(matches: dict[int, re.Match[str]], counts: NDArray[np.int64]) -> str:
    """The most frequent thing beside a number; numbers with another one beside are none."""
    found: Counter[str] = Counter()
    for i, match in matches.items():
        found[_beside(match)] += int(counts[i])
    del found[""]
    return found.most_common(1)[0][0] if found else ""


def _is_comma(cores: list[str], *, comma_first: bool) -> bool:
    """Whether the comma is the decimal sign, by what the column as a whole shows."""
    point = sum(_shows_point(core) for core in cores)
    comma = sum(_shows_point(core.translate(_SWAP)) for core in cores)
    if point == comma:
        return comma_first and any("," in core for core in cores)
    return comma > point


_SWAP = str.maketrans(".,", ",.")


def _shows_point(core: str) -> bool:
    """1,234.5 and 1,234,567 and 0.5 show that the point is the decimal sign; 1,234 and 1.234 show nothing."""
    before, dot, after = core.rpartition(".")
    if "," in after and dot:
        return False
    if dot and "." not in before:
        return "," in before or len(after) != 3 or before.lstrip("0") == ""  # noqa: PLR2004 - a group of thousands
    return not dot and core.count(",") > 1


def _how(cores: list[str], unit: str, *, comma: bool) -> str:
    parts = []
    if any("," in core or "." in core for core in cores):
        both = "the comma is the decimal sign" if comma else "commas divide thousands"
        parts.append(both)
    if unit:
        parts.append(f"{unit} taken off")
    return ", ".join(parts)
