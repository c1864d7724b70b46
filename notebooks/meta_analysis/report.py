"""Numbers as text, and the measures they belong to.

Everything a reader sees as a number passes through `number`, so that two runs print the same characters: never
"-0.00", never "np.float64(0.1)", and the minus sign is the ASCII hyphen, so that text can be searched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

MEASURES = {
    "SMD": "Standardised mean difference",
    "MD": "Mean difference",
    "RR": "Risk ratio",
    "OR": "Odds ratio",
    "RD": "Risk difference",
}
RATIO_MEASURES = ("RR", "OR")


def check_measure(measure: str) -> str:
    """Return `measure`; raise ValueError if it is not one of `MEASURES`."""
    if measure not in MEASURES:
        raise ValueError(f"unknown measure {measure!r}: use one of {', '.join(MEASURES)}")
    return measure


def no_effect(measure: str) -> float:
    """What means no effect on the natural scale: 1 for ratios, 0 for differences; errors as `check_measure`."""
    return 1.0 if check_measure(measure) in RATIO_MEASURES else 0.0


def number(x: float | None, digits: int = 2, *, missing: str = "not estimable") -> str:
    """A number as text with a fixed count of decimals.

    Parameters
    ----------
    x : float
        Any scalar, numpy and pandas scalars and 0-d arrays included.
    digits : int
        Decimals kept.
    missing : str
        Text for NaN, None and pandas.NA.

    Returns
    -------
    str
        "0.00" where rounding leaves "-0.00"; "infinity" or "-infinity" for infinite values.
    """
    if x is None or x is pd.NA:
        return missing
    value = float(x)
    if np.isnan(value):
        return missing
    if np.isinf(value):
        return "infinity" if value > 0 else "-infinity"
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text


def interval(low: float, high: float, digits: int = 2, *, missing: str = "not estimable") -> str:
    """The two ends of an interval as text, for example "-1.05 to -0.39"; ValueError if low exceeds high."""
    ends = [number(low, digits, missing=""), number(high, digits, missing="")]
    if "" in ends:
        return missing
    if low > high:
        raise ValueError(f"an interval runs from low to high, got {ends[0]} to {ends[1]}")
    return " to ".join(ends)


def p_value(p: float, *, missing: str = "not estimable") -> str:
    """A p value as text with three decimals: "p = 0.032", "p < 0.001" or "p > 0.999"; ValueError outside 0 to 1."""
    if number(p, missing="") == "":
        return missing
    if not 0 <= p <= 1:
        raise ValueError(f"a p value lies between 0 and 1, got {number(p, 3)}")
    if p < 0.001:
        return "p < 0.001"
    # 0.9996 would round to "p = 1.000", which no test can give.
    return "p > 0.999" if p > 0.999 else f"p = {number(p, 3)}"


def percent(x: float, digits: int = 0, *, missing: str = "not estimable") -> str:
    """A percentage as text, for example "47%". `x` is already in percent (0 to 100), as I2 is in the tables."""
    text = number(x, digits, missing="")
    return f"{text}%" if text else missing


def estimate_with_interval(values: Mapping[str, Any] | pd.Series | Sequence[float], digits: int = 2,
                           *, level: int = 95, missing: str = "not estimable") -> str:
    """An estimate with its confidence interval as text, for example "-0.72 (95% CI -1.05 to -0.39)".

    Parameters
    ----------
    values : Mapping, Series or sequence
        A row with `estimate`, `ci_low` and `ci_high`, or three numbers in that order.
    digits : int
        Decimals kept.
    level : int
        Confidence level in percent.
    missing : str
        Text for an estimate or an interval that does not exist.
    """
    if isinstance(values, (Mapping, pd.Series)):
        values = [values["estimate"], values["ci_low"], values["ci_high"]]
    estimate, low, high = values
    text = number(estimate, digits, missing="")
    return f"{text} ({level}% CI {interval(low, high, digits, missing=missing)})" if text else missing
