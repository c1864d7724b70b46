"""The three families of the specification curve and their curves, made once for all tests."""

from functools import cache

from meta_analysis.specification_curve import specification_curve
from meta_analysis.specification_families import stored_family

family = cache(stored_family)


@cache
def curve(name):
    return specification_curve(family(name))
