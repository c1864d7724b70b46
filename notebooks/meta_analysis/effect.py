"""What every effect size of a two-arm trial has in common: an estimate with its variance, from arrays of one shape.

The active arm comes first and the control second, always. Effects are active minus control (differences) or the log of
active over control (ratios): with severity scores a negative difference favours the active arm, and a positive log
risk ratio means more of the event under it. The functions that make them take numbers or arrays that broadcast.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


class Effect(NamedTuple):
    """An effect and its sampling variance, in the effect's unit and its square; ratios as logs."""

    estimate: Array
    variance: Array


def broadcast(*arrays: ArrayLike) -> tuple[Array, ...]:
    """The arrays as floats of one common shape.

    Parameters
    ----------
    *arrays : array_like
        Numbers or arrays.

    Returns
    -------
    tuple of ndarray

    Raises
    ------
    ValueError
        With one line that lists the shapes, if they do not match.
    """
    arrays = [np.asarray(x, dtype=float) for x in arrays]
    try:
        return np.broadcast_arrays(*arrays)
    except ValueError:
        raise ValueError(f"the shapes do not match: {', '.join(str(a.shape) for a in arrays)}") from None
