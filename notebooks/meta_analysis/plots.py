"""The shared style of all figures: letters, colours, widths of text, scales of axes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import matplotlib.style
import numpy as np
from matplotlib.ticker import MaxNLocator

from meta_analysis.lettering import FAMILY, line_width
from meta_analysis.report import MEASURES, RATIO_MEASURES, check_measure, no_effect, number

WIDTH = 7.2  # inches: a journal's double column (183 mm)
TEXT, SMALL = 7.5, 7.0  # points
TICK_PITCH = 0.27  # inches between two ticks, at least: room for "-1.25"
REACH = 3.5

# Blue and orange from Okabe and Ito (2008), safe for the common kinds of colour blindness; the greys differ in print.
INK, GREY, RULE, BAND = "#1a1a1a", "#595959", "#a6a6a6", "#e4e4e4"
BLUE, PALE_BLUE, ORANGE = "#0072B2", "#7FB2D5", "#D55E00"

STYLE = {
    "font.family": FAMILY,
    "font.size": TEXT,
    "text.hinting": "none",  # a text is then equally wide at every resolution, and as wide as it was measured
    "text.color": INK,
    "axes.labelsize": SMALL,
    "axes.titlesize": TEXT,
    "axes.titley": 1.0,  # otherwise matplotlib looks for tick labels above at each drawing; there, titles have a pad
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": matplotlib.cycler(color=[BLUE, ORANGE, "#009E73", "#CC79A7", INK]),
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "lines.linewidth": 1.0,
    "figure.dpi": 100,
}


@contextmanager
def style() -> Iterator[None]:
    """The look of all figures, whatever the reader's own settings are: `with plots.style(): ...` or `@style()`."""
    with matplotlib.style.context(["default", STYLE]):
        try:
            yield
        finally:
            interactive = matplotlib.is_interactive()
    # The first figure of a notebook loads its backend, which turns the automatic display of figures on: that stays.
    matplotlib.interactive(interactive)


def text_width(text: str, size: float = TEXT, bold: bool = False) -> float:
    """Width in inches of a text (its longest line) in the letters of all figures."""
    return max(line_width(line, bold) for line in text.split("\n")) * size / 72


def wrap(text: str, width: float, size: float = TEXT, bold: bool = False) -> str:
    """The text broken at blanks into lines no wider than `width` inches, where its words allow.

    What stands in parentheses is kept together if it fits in one line.
    """
    lines: list[str] = []
    for paragraph in text.split("\n"):
        if text_width(paragraph, size, bold) <= width:
            lines.append(paragraph)
            continue
        pieces = [word for piece in re.findall(r"\([^()]*\)\S*|[^ ]+", paragraph)
                  for word in ([piece] if text_width(piece, size, bold) <= width else piece.split(" "))]
        line, used, blank = "", 0.0, text_width(" ", size, bold)
        for piece in pieces:
            more = text_width(piece, size, bold)
            if line and used + blank + more > width:
                lines.append(line)
                line, used = piece, more
            else:
                line, used = (f"{line} {piece}", used + blank + more) if line else (piece, more)
        lines.append(line)
    return "\n".join(lines)


def typographic(text: str) -> str:
    """The text with a true minus sign in front of numbers; hyphens inside words (MP-8, 100-125 mg) stay."""
    return re.sub(r"(?<![\w.)])-(?=\d)", "\N{MINUS SIGN}", text)


# Scales ---------------------------------------------------------------------------------------------------------------


def favours(measure: str, event: str | None = None, active: str = "MDMA-AT", control: str = "control") -> list[str]:
    """What a result left of, and right of, no effect favours.

    Parameters
    ----------
    measure : str
        SMD and MD are of scores of which a lower one is better: negative favours the active arm.
    event : {"good", "bad"}
        Wanted for RR, OR and RD, and only for those: whether the counted event is one to hope for.
    active, control : str
        Names of the arms.

    Raises
    ------
    ValueError
        If the measure is unknown, or `event` is missing or out of place.
    """
    counts_events = check_measure(measure) not in ("SMD", "MD")
    if counts_events and event not in ("good", "bad"):
        raise ValueError(f"{measure}: say whether the event is 'good' or 'bad', got {event!r}")
    if not counts_events and event is not None:
        raise ValueError(f"{measure} compares scores: event must be None, got {event!r}")
    sides = [f"Favours {active}", f"Favours {control}"]
    return sides[::-1] if event == "good" else sides


def scale_sentence(measure: str, event: str | None = None, active: str = "MDMA-AT", control: str = "control") -> str:
    """The measure and its direction in words, for alternative texts."""
    below, above = (side[0].lower() + side[1:] for side in favours(measure, event, active, control))
    null = number(no_effect(measure), 0)
    return f"{MEASURES[measure]} ({measure}): below {null} {below}, above {null} {above}."


def measure_label(measure: str, event: str | None = None, active: str = "MDMA-AT") -> str:
    """Two lines for an axis: the measure, and on which side of no effect it favours the active arm."""
    side = "below" if favours(measure, event, active)[0] == f"Favours {active}" else "above"
    return f"{MEASURES[measure]}\n({side} {number(no_effect(measure), 0)} favours {active})"


def axis_range(estimates: Sequence[float], lows: Sequence[float], highs: Sequence[float],
               measure: str) -> tuple[float, float]:
    """Limits of an axis that show no effect, every estimate, and as much of the intervals as is useful.

    An interval may reach beyond the outermost estimate by `REACH` times the middle half-width of all intervals; what
    lies farther out is cut off, so that one tiny trial does not squeeze all others together.
    """
    scale = np.log if measure in RATIO_MEASURES else np.asarray
    middle, low, high = (scale(np.asarray(values, dtype=float)) for values in (estimates, lows, highs))
    seen = np.append(middle[np.isfinite(middle)], scale(no_effect(measure)))
    widths = (high - low)[np.isfinite(high - low)]
    reach = REACH * np.median(widths) / 2 if widths.size else 1.0
    ends = np.concatenate([seen, low[low >= seen.min() - reach], high[high <= seen.max() + reach],
                           [seen.min() - reach] * bool(np.any(low < seen.min() - reach)),
                           [seen.max() + reach] * bool(np.any(high > seen.max() + reach))])
    pad = 0.04 * (ends.max() - ends.min() or 1.0)
    limits = ends.min() - pad, ends.max() + pad
    return tuple(float(end) for end in (np.exp(limits) if measure in RATIO_MEASURES else limits))


def axis_ticks(limits: tuple[float, float], measure: str, width: float) -> list[float]:
    """Round tick values within the limits, few enough for a panel of `width` inches; 1 is always one on a log axis."""
    low, high = limits
    most = max(2, int(width / TICK_PITCH))
    if measure in RATIO_MEASURES:
        powers = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
        ladders = [np.outer(10.0**powers, steps).ravel() for steps in
                   ([1, 1.25, 1.5, 2, 3, 4, 6, 8], [1, 1.5, 2, 3, 5, 7], [1, 2, 5], [1, 3], [1])]
        ladders += [10.0 ** powers[powers % step == 0] for step in (2, 4, 8)]
        for ticks in ladders:
            ticks = ticks[(ticks >= low) & (ticks <= high)]
            apart = np.diff(np.log(ticks)) * width / np.log(high / low)
            if 3 <= ticks.size <= most and apart.min() >= TICK_PITCH:
                return [float(f"{tick:.6g}") for tick in ticks]
    ticks = MaxNLocator(min(most, 7), min_n_ticks=3, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [float(f"{tick:.6g}") + 0.0 for tick in ticks if low <= tick <= high]


def tick_texts(ticks: Sequence[float], measure: str) -> list[str]:
    """Labels of ticks: as short as each can be on a log axis, equally many decimals on a linear one."""
    if measure in RATIO_MEASURES:
        return [f"{tick:g}" for tick in ticks]
    decimals = max((len(f"{tick:g}".partition(".")[2]) for tick in ticks), default=0)
    return [typographic(f"{tick:.{decimals}f}") for tick in ticks]
