"""Text that is written by code into a page that people write."""

from __future__ import annotations


def between_markers(page: str, begin: str, end: str, content: str) -> str:
    """Replace what stands between two marker lines of a page; all else is untouched.

    Raises
    ------
    ValueError
        If the two marker lines are not there, once each and in this order.
    """
    before, found_begin, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end) or page.count(begin) > 1 or page.count(end) > 1:
        raise ValueError(f"the page must hold the lines {begin} and {end}, once each and in this order")
    return f"{before}{begin}\n\n{content}\n\n{end}{after}"
