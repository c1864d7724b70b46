"""The design of a meta-regression: its shape is checked, its intercept found, its columns made orthonormal."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meta_analysis.studies import Studies, check, ensure, name_pool, require

# A column of the design adds nothing where less than this share of its length is new.
COLLINEAR = 1e-9


def check_design(
    effects: ArrayLike, variances: ArrayLike, design: ArrayLike, mask: ArrayLike | None = None
) -> tuple[Studies, NDArray[np.float64]]:
    """Studies and design broadcast to the same pools.

    Parameters
    ----------
    effects, variances, design, mask
        As for `meta_regression.meta_regression`.

    Returns
    -------
    studies : Studies
        Of shape ``(..., k)``.
    design : ndarray, shape (..., k, p)

    Raises
    ------
    ValueError
        As `meta_regression.meta_regression`.
    """
    studies, x = check(effects, variances, mask), np.asarray(design, dtype=float)
    k = studies.present.shape[-1]
    if x.ndim < 2 or x.shape[-2] != k or not x.shape[-1]:
        raise ValueError(f"the design must have a row for each of the {k} studies, shape (..., {k}, p); got {x.shape}")
    try:
        pools = np.broadcast_shapes(studies.pools, x.shape[:-2])
    except ValueError:
        raise ValueError(f"the leading axes do not broadcast: studies {studies.pools}, design {x.shape[:-2]}") from None
    studies = Studies(*(np.broadcast_to(array, (*pools, k)) for array in studies))
    for column in np.moveaxis(x, -1, 0):
        ensure(np.isfinite(column) | ~studies.present, "a moderator must be finite", column)
    require(studies.present, x.shape[-1] + 1)
    return studies, np.broadcast_to(x, (*pools, *x.shape[-2:]))


def sort_columns(design: NDArray, present: NDArray) -> tuple[bool, NDArray[np.int64]]:
    """Which columns of a design are the intercept and the moderators.

    Parameters
    ----------
    design : ndarray, shape (n, k, p)
    present : ndarray of bool, shape (n, k)

    Returns
    -------
    intercept : bool
        Whether a column is constant over the present studies.
    tested : ndarray of int
        The columns that the omnibus test is about: all but the intercept, or all if nothing else is left.
    """
    low = np.where(present[..., None], design, np.inf).min(axis=1)
    high = np.where(present[..., None], design, -np.inf).max(axis=1)
    constant = np.flatnonzero((low == high).all(axis=0))
    columns = np.arange(design.shape[-1])
    return bool(constant.size), np.setdiff1d(columns, constant[:1]) if columns.size > 1 else columns


def orthonormal(design: NDArray, pools: tuple[int, ...] = (), first: int = 0) -> tuple[NDArray, NDArray]:
    """An orthonormal basis Z of the columns of designs X, and the inverse of R, by X = ZR.

    Parameters
    ----------
    design : ndarray, shape (n, k, p)
    pools : tuple of int
        Shape of the batch that the designs are part of.
    first : int
        Place of the first design among all `pools`, to name a bad one.

    Returns
    -------
    basis : ndarray, shape (p, k, n)
    inverse : ndarray, shape (n, p, p)

    Raises
    ------
    ValueError
        On columns that are linearly dependent.
    """
    basis, r = np.linalg.qr(design)
    new = np.abs(np.diagonal(r, axis1=-2, axis2=-1))
    dependent = np.argwhere(new <= COLLINEAR * np.sqrt((design**2).sum(axis=-2)))
    if dependent.size:
        pool, column = (int(i) for i in dependent[0])
        where = name_pool(tuple(int(i) for i in np.unravel_index(first + pool, pools)) if pools else ())
        raise ValueError(f"{where}column {column} of the design depends linearly on those before it, or is 0")
    return np.ascontiguousarray(basis.T), np.linalg.inv(r)
