"""The pool without some of its studies: leave-one-out, cumulative, and GOSH, the pools of all subsets.

Each is one batched call of `pooling.pool`, whose masks say which studies are in. A subset of a single study is that
study alone: its own variance, tau2 = 0 and a normal interval, whatever was asked for (so does metafor).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meta_analysis.pooling import Pool, pool
from meta_analysis.studies import Studies, check

# Subsets pooled in one call of GOSH: enough that numpy's overhead hardly counts, and few enough to be alike in size.
GOSH_CHUNK = 2**11


@dataclass(frozen=True)
class Gosh:
    """Pools of n subsets of k studies; all fields but the first have the shape ``(n,)`` and `pooling.Pool`'s meaning.

    Attributes
    ----------
    present : bool, shape (n, k)
        Which studies are in each subset.
    k, estimate, se, ci_low, ci_high, p, tau2, i2, h2, q, converged
        As in `pooling.Pool`; k is the number of studies in the subset.
    exact : bool
        Whether these are all the subsets; if not, they were drawn at random.
    """

    present: NDArray[np.bool_]
    k: NDArray[np.int64]
    estimate: NDArray[np.float64]
    se: NDArray[np.float64]
    ci_low: NDArray[np.float64]
    ci_high: NDArray[np.float64]
    p: NDArray[np.float64]
    tau2: NDArray[np.float64]
    i2: NDArray[np.float64]
    h2: NDArray[np.float64]
    q: NDArray[np.float64]
    converged: NDArray[np.bool_]
    exact: bool


def leave_one_out(effects: ArrayLike, variances: ArrayLike, *, mask: ArrayLike | None = None, **options: Any) -> Pool:
    """Pool all studies but one, for each study in turn.

    Parameters
    ----------
    effects, variances : array_like, shape (..., k)
        Effects and their sampling variances (logs for ratios).
    mask : array_like of bool, shape (..., k), optional
        True where the study is present.
    **options
        Keywords of `pooling.pool`: model, tau2_method, ci_method, pi_method, level, tau2_interval.

    Returns
    -------
    Pool
        Its fields have the shape ``(..., k)``, the weights ``(..., k, k)``; entry i is the pool without study i. For an
        absent study, that is the pool of all present ones. Of two studies each is left alone (see the module).

    Raises
    ------
    ValueError
        As `pooling.pool`; at least two studies are needed.
    """
    studies = check(effects, variances, mask, at_least=2)
    return _pool_subsets(_for_subsets(studies), all_but_one(studies.present), options)


def all_but_one(present: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The studies that remain when each is left out, shape ``(..., k, k)``: row i without study i."""
    return present[..., None, :] & ~np.eye(present.shape[-1], dtype=bool)


def cumulative(effects: ArrayLike, variances: ArrayLike, *, order: ArrayLike | None = None, **options: Any) -> Pool:
    """Pool the first study, the first two, the first three, and so on (Lau and others 1992).

    Parameters
    ----------
    effects, variances : array_like, shape (..., k)
        Effects and their sampling variances (logs for ratios).
    order : array_like of int, shape (k,), optional
        Indices of the studies (from 0) in the order in which they join, for example ``np.argsort(year)``; by default
        the order in which they stand.
    **options
        Keywords of `pooling.pool`.

    Returns
    -------
    Pool
        Its fields have the shape ``(..., k)``; entry j is the pool of the first j + 1 studies, so the first one is a
        study alone (see the module) and the last one is the whole pool. The weights, ``(..., k, k)``, stand in the
        studies' own order.

    Raises
    ------
    ValueError
        If `order` does not name each study once; otherwise as `pooling.pool`. At least two studies are needed.
    """
    studies = check(effects, variances, at_least=2)
    k = studies.present.shape[-1]
    order = np.arange(k) if order is None else np.asarray(order)
    if order.shape != (k,) or not np.array_equal(np.sort(order), np.arange(k)):
        raise ValueError(f"order must name each of the {k} studies once, from 0 to {k - 1}; got {order.tolist()}")
    first = np.argsort(order) <= np.arange(k)[:, None]  # argsort of an order is the rank of each study
    return _pool_subsets(_for_subsets(studies), np.broadcast_to(first, (*studies.pools, k, k)), options)


def gosh(
    effects: ArrayLike, variances: ArrayLike, *, subsets: int = 2**20, seed: int = 0, **options: Any
) -> Gosh:
    """Graphical display of study heterogeneity: pool all 2^k - 1 subsets (Olkin, Dahabreh and Trikalinos 2012).

    Parameters
    ----------
    effects, variances : array_like, shape (k,)
        Effects and their sampling variances (logs for ratios).
    subsets : int
        Largest number of subsets to pool. If there are more, so many are drawn at random, all equally likely and with
        repetition.
    seed : int
        Seed of the random draw; it changes nothing where all subsets are pooled.
    **options
        Keywords of `pooling.pool`.

    Returns
    -------
    Gosh
        All subsets in binary order: study j (from 0) is in subset i (from 0) where bit j of i + 1 is set. The results
        take 81 + k bytes a subset, and 16 more for their order meanwhile; the memory beyond does not grow with their
        number.

    Raises
    ------
    ValueError
        On more than one set of studies or fewer than one subset; otherwise as `pooling.pool`. At least two studies are
        needed.
    """
    studies = check(effects, variances, at_least=2)
    if studies.pools:
        raise ValueError(f"GOSH takes one set of studies, so effects of shape (k,); got {studies.present.shape}")
    if subsets < 1:
        raise ValueError(f"subsets must be at least 1, got {subsets}")
    k = studies.present.shape[-1]
    exact = 2**k - 1 <= subsets
    present = binary(1, 2**k, k) if exact else _draw(subsets, k, np.random.default_rng(seed))
    names = [field.name for field in fields(Gosh) if field.name not in ("present", "exact")]
    types = {"k": np.int64, "converged": bool}
    result = {name: np.empty(len(present), types.get(name, float)) for name in names}
    sizes = np.count_nonzero(present, axis=1)
    order = np.argsort(sizes, kind="stable")  # subsets of like size go together: then hardly a place stays empty
    for start in range(0, len(present), GOSH_CHUNK):
        which = order[start : start + GOSH_CHUNK]
        taken = np.arange(max(2, sizes[which[-1]])) < sizes[which, None]
        members = np.zeros(taken.shape, dtype=np.int64)
        members[taken] = np.nonzero(present[which])[1]
        chosen = Studies(studies.effects[members], studies.variances[members], np.ones_like(taken))
        pools = _pool_subsets(chosen, taken, options)
        for name in names:
            result[name][which] = getattr(pools, name)
    return Gosh(present=present, exact=exact, **result)


def binary(start: int, stop: int, digits: int) -> NDArray[np.bool_]:
    """The numbers start, ..., stop - 1 in binary, shape ``(stop - start, digits)``, the lowest digit first."""
    numbers = np.arange(start, stop)
    result = np.empty((numbers.size, digits), dtype=bool)
    for digit in range(digits):
        result[:, digit] = numbers >> digit & 1
    return result


def _draw(count: int, k: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Subsets that are not empty, each equally likely: every study is in or out by the toss of a coin."""
    present = rng.integers(0, 2, (count, k), dtype=bool)
    while (empty := ~present.any(axis=1)).any():
        present[empty] = rng.integers(0, 2, (int(empty.sum()), k), dtype=bool)
    return present


def _for_subsets(studies: Studies) -> Studies:
    """The studies with an axis for their subsets, shape ``(..., 1, k)``."""
    return Studies(*(array[..., None, :] for array in studies))


def _pool_subsets(studies: Studies, present: NDArray, options: dict[str, Any]) -> Pool:
    """Pools of subsets, shape ``(..., n, k)``, none of them empty; a study alone is pooled by the common-effect model.

    The studies broadcast against the subsets. In the random-effects call all of them stand in for a study alone, and
    that result is replaced.
    """
    effects, variances, everything = studies
    alone = np.count_nonzero(present, axis=-1) == 1
    if options.get("model") == "common" or not alone.any():
        return pool(effects, variances, mask=present, **options)
    result = pool(effects, variances, mask=np.where(alone[..., None], everything, present), **options)
    y, v = (np.broadcast_to(array, present.shape)[alone] for array in (effects, variances))
    level = options.get("level", 0.95)
    single = pool(y, v, mask=present[alone], model="common", ci_method="Wald", level=level)
    for field in fields(Pool):
        getattr(result, field.name)[alone] = getattr(single, field.name)
    return result
