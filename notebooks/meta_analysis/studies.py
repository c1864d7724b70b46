"""Checks and layout shared by the pooling functions: studies lie along the last axis, absent studies are masked.

A *pool* is one set of studies. Arrays of shape ``(..., k)`` hold many pools at once, and the leading axes broadcast, so
thirteen effects of shape ``(13,)`` with a mask of shape ``(8191, 13)`` are 8191 pools of the same studies.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Numbers (pools x studies) worked on at a time. The dozen or so working arrays of an iteration then stay in the
# processor's cache, and a batch of any size needs a few megabytes beyond its inputs and results.
CHUNK_NUMBERS = 2**14


class Studies(NamedTuple):
    """Checked inputs, broadcast against each other and not yet copied; all have the shape ``(..., k)``."""

    effects: NDArray[np.float64]
    variances: NDArray[np.float64]
    present: NDArray[np.bool_]

    @property
    def pools(self) -> tuple[int, ...]:
        """Shape of the batch: the leading axes, ``()`` for a single pool."""
        return self.present.shape[:-1]


def check(effects: ArrayLike, variances: ArrayLike, mask: ArrayLike | None = None, *, at_least: int = 1) -> Studies:
    """Check effects and variances and broadcast them to one shape.

    Parameters
    ----------
    effects, variances : array_like, shape (..., k)
        Effects and their sampling variances, in the effect's unit and its square. The last axis must agree.
    mask : array_like of bool, shape (..., k), optional
        True where the study is present. Absent entries may hold anything, NaN included.
    at_least : int
        Smallest number of present studies that the calling method can use.

    Returns
    -------
    Studies

    Raises
    ------
    ValueError
        On shapes that do not match, and on the first present study whose effect is not finite or whose variance is
        not finite and above zero, and on the first pool with too few studies. Study and pool are named by their index
        (from 0).
    """
    effects, variances = np.asarray(effects, dtype=float), np.asarray(variances, dtype=float)
    studies = Studies(*align(mask, effects=effects, variances=variances))
    # The plain arrays first: when every entry is good there is no need to look at each pool.
    if not np.isfinite(effects).all():
        ensure(np.isfinite(studies.effects) | ~studies.present, "an effect must be finite", studies.effects)
    if not (np.isfinite(variances).all() and np.all(variances > 0)):
        good = np.isfinite(studies.variances) & (studies.variances > 0)
        ensure(good | ~studies.present, "a variance must be finite and above zero", studies.variances)
    require(studies.present, at_least)
    return studies


def align(mask: ArrayLike | None, **named: ArrayLike) -> tuple[NDArray, ...]:
    """Broadcast arrays of shape ``(..., k)`` and their mask to one shape.

    Parameters
    ----------
    mask : array_like of bool, shape (..., k), or None
        All true if None.
    **named : array_like, shape (..., k)
        By name, which errors say.

    Returns
    -------
    tuple of ndarray
        The arrays, the mask last.

    Raises
    ------
    ValueError
        On scalars, last axes that differ, leading axes that do not broadcast, and a mask that is not boolean.
    """
    arrays = {name: np.asarray(value, dtype=float) for name, value in named.items()}
    if mask is not None:
        arrays["mask"] = np.asarray(mask)
        if arrays["mask"].dtype != bool:
            raise ValueError(f"the mask must be boolean, True where a study is present; got {arrays['mask'].dtype}")
    shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
    if not all(array.ndim for array in arrays.values()):
        raise ValueError(f"studies lie along the last axis, so a scalar cannot be pooled: {shapes}")
    if len({array.shape[-1] for array in arrays.values()}) > 1:
        raise ValueError(f"the last axes (studies) do not match: {shapes}")
    arrays.setdefault("mask", np.ones(next(iter(arrays.values())).shape[-1:], dtype=bool))
    try:
        return np.broadcast_arrays(*arrays.values())
    except ValueError:
        raise ValueError(f"the leading axes (pools) do not broadcast: {shapes}") from None


def ensure(good: NDArray[np.bool_], rule: str, *values: NDArray) -> None:
    """Raise a one-line ValueError unless all is good: the first bad study, the rule and the values that break it."""
    if not np.all(good):
        index = tuple(int(i) for i in np.argwhere(~good)[0])
        got = ", ".join(f"{np.broadcast_to(value, np.shape(good))[index]:g}" for value in values)
        study = f"study {index[-1]}: " if index else ""
        raise ValueError(f"{name_pool(index[:-1])}{study}{rule}; got {got}")


def ensure_counts(a: NDArray, n1: NDArray, c: NDArray, n2: NDArray, present: NDArray | bool = True) -> None:
    """Raise a one-line ValueError unless 0 <= events <= n and n > 0 in both arms of each present table."""
    for arm, events, n in (("active", a, n1), ("control", c, n2)):
        good = (events >= 0) & (events <= n) & (n > 0) & np.isfinite(n)
        ensure(good | ~np.asarray(present), f"{arm} arm: events must lie between 0 and n, and n above zero", events, n)


def require(present: NDArray[np.bool_], at_least: int) -> None:
    """Raise a one-line ValueError that names the first pool with fewer than ``at_least`` present studies."""
    few = np.asarray(present.sum(axis=-1) < at_least)
    if few.any():
        index = tuple(int(i) for i in np.argwhere(few)[0])
        needed = f"at least {at_least} {'study' if at_least == 1 else 'studies'} needed"
        raise ValueError(f"{name_pool(index)}{needed}, got {int(present[index].sum())}")


def name_pool(index: tuple[int, ...]) -> str:
    """``""`` for a single pool, ``"pool 3: "`` or ``"pool (3, 1): "`` within a batch."""
    if not index:
        return ""
    return f"pool {index[0] if len(index) == 1 else index}: "


def chunks(studies: Studies) -> Iterator[tuple[slice, NDArray, NDArray, NDArray, NDArray]]:
    """Cut a batch into pieces laid out for arithmetic: studies down the first axis, pools along the second.

    Sums over studies are then sums of whole rows, which numpy does fast for any number of studies. Effects are measured
    from the pool's common-effect mean, where their differences lose the fewest digits. Absent studies get effect 0 and
    an infinite variance, hence a weight of exactly 0 in every formula that uses inverse variances.

    Parameters
    ----------
    studies : Studies
        From `check`.

    Yields
    ------
    which : slice
        The pools of this piece, counted through the flattened leading axes.
    centre : ndarray, shape (pools in the piece,)
        The common-effect mean of each pool.
    effects, variances, present : ndarray, shape (k, pools in the piece)
    """
    k = studies.present.shape[-1]
    count = int(np.prod(studies.pools))
    size = max(1, CHUNK_NUMBERS // max(k, 1))
    for start in range(0, count, size):
        which = slice(start, min(start + size, count))
        pool = np.unravel_index(np.arange(which.start, which.stop), studies.pools) if studies.pools else ()
        y, v, present = (np.ascontiguousarray(np.atleast_2d(array[pool]).T) for array in studies)
        y, v = np.where(present, y, 0.0), np.where(present, v, np.inf)
        w = 1 / v
        centre = np.einsum("ij,ij->j", w, y) / w.sum(axis=0)
        yield which, centre, np.where(present, y - centre, 0.0), v, present
