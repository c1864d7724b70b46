"""Risk-of-bias lights: one row a trial, one column a domain; every light carries a symbol as well as a colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from meta_analysis.frame import LINE, MARGIN, NOTE_LINE, OPTICAL, panel_of, width_of
from meta_analysis.plots import GREY, INK, SMALL, TEXT, WIDTH, style, text_width, wrap

# Names of the domains of RoB 2: Sterne and others, BMJ 2019;366:l4898.
DOMAINS = {
    "D1": "randomisation process",
    "D2": "deviations from intended interventions",
    "D3": "missing outcome data",
    "D4": "measurement of the outcome",
    "D5": "selection of the reported result",
    "overall": "overall risk of bias",
}

# Judgement -> colour of the light, marker, colour of the marker. Symbols as in robvis (McGuinness and Higgins 2021);
# colours from light to dark, so that the order survives a black-and-white printer.
LIGHTS = {
    "Low": ("#63B58F", "+", INK),
    "Some concerns": ("#F5DC6B", "_", INK),
    "High": ("#A3281C", "x", "white"),
    "No information": ("#FFFFFF", "$?$", INK),
}
LIGHT_SIZE, SYMBOL_SIZE = 10.5, 5.5  # points
PITCH = 0.2  # inches between two domains
GAP_BEFORE_OVERALL = 0.06
LEGEND_LINE = 0.165


def check_judgements(judgements: pd.DataFrame, trials: pd.Index) -> pd.DataFrame:
    """The judgements of these trials, in their order.

    Raises
    ------
    ValueError
        If a domain or judgement is unknown, or the trials of the two differ.
    """
    if unknown := [str(name) for name in judgements.columns if name not in DOMAINS]:
        raise ValueError(f"risk of bias: unknown domain {', '.join(unknown)}; domains are {', '.join(DOMAINS)}")
    if twice := sorted(set(judgements.index[judgements.index.duplicated()])):
        raise ValueError(f"risk of bias: two rows for trial {', '.join(twice)}")
    if missing := [str(trial) for trial in trials if trial not in judgements.index]:
        raise ValueError(f"risk of bias: no judgements for trial {', '.join(missing)}")
    if extra := [str(trial) for trial in judgements.index if trial not in trials]:
        raise ValueError(f"risk of bias: judgements for unknown trial {', '.join(extra)}")
    for trial, row in judgements.iterrows():
        for domain, judgement in row.items():
            if judgement not in LIGHTS:
                raise ValueError(f"risk of bias: {trial}, {domain}: {judgement!r} is not one of {', '.join(LIGHTS)}")
    return judgements.loc[list(trials), [name for name in DOMAINS if name in judgements.columns]]


@style()
def rob_lights(ax: Axes, judgements: pd.DataFrame, *, beside: Axes | None = None,
               rows: Mapping[str, float] | pd.Series | None = None,
               order: list[str] | None = None, notes: Sequence[str] = ()) -> tuple[Axes, pd.DataFrame]:
    """Draw risk-of-bias lights on an axis.

    Parameters
    ----------
    ax : Axes
        Its whole area is used.
    judgements : DataFrame
        Row labels are trials, columns domains (keys of `DOMAINS`), cells keys of `LIGHTS`.
    beside, rows : Axes and dict, optional
        To continue the rows of a forest plot: the axis it was drawn on (`ax` must share its y axis), and the height of
        each trial in it. No trial labels are written then. `forest.forest_figure` does this.
    order : list of str, optional
        Order of the trials from the top, if `rows` is not given; as in `judgements` by default.
    notes : sequence of str
        Paragraphs below the key of the domains, if the lights stand alone.

    Returns
    -------
    ax : Axes
    shown : DataFrame, one row a light
        trial, domain, judgement, symbol, x, y (inches).

    Raises
    ------
    ValueError
        If a domain or judgement is unknown, or the trials of `judgements` are not those of `rows` or `order`.
    """
    trials = pd.Index(rows.keys() if rows is not None else (order or judgements.index))
    judgements = check_judgements(judgements, trials)
    if beside is None:
        height = figure_height(judgements, width_of(ax), notes)
        ax.set(xlim=(0, width_of(ax)), ylim=(0, height))
        head = height - 0.22
        left = MARGIN + max(text_width(trial) for trial in trials)
        rows = {trial: head - 0.04 - LINE * (place + 0.5) for place, trial in enumerate(trials)}
        floor = min(rows.values()) - LINE / 2 - 0.04
        for trial, y in rows.items():
            ax.text(MARGIN, y - OPTICAL * TEXT, trial, size=TEXT, va="center")
        for place, note in enumerate(reversed(_note_lines(judgements, width_of(ax), notes))):
            ax.text(MARGIN, 0.04 + NOTE_LINE * (place + 0.5), note, size=SMALL, color=GREY, va="center")
    else:
        ax.set_xlim(0, width_of(ax))
        floor, head = panel_of(beside).get_ylim()
        left = 0.0
        if ax.get_ylim()[1] - head > 0.3:  # the headers of the forest plot have two lines
            ax.text(panel_width(judgements) / 2, head + 0.195, "Risk of bias", size=TEXT, weight="bold",
                    ha="center", va="bottom")
    ax.axis("off")
    columns = {domain: left + x for domain, x in _columns(judgements).items()}
    end = left + panel_width(judgements) - MARGIN
    ax.plot([0 if beside is not None else MARGIN, end], [head] * 2, color=INK, lw=0.7, solid_capstyle="butt")
    for domain, x in columns.items():
        ax.text(x, head + 0.06, _header(domain), size=TEXT, weight="bold", ha="center", va="bottom")
    shown = [{"trial": trial, "domain": domain, "judgement": row[domain],
              "symbol": LIGHTS[row[domain]][1].strip("$"), "x": x, "y": rows[trial]}
             for trial, row in judgements.iterrows() for domain, x in columns.items()]
    for light in shown:
        _light(ax, light["x"], light["y"], light["judgement"])
    _legend(ax, judgements, MARGIN + LIGHT_SIZE / 144 if beside is None else LIGHT_SIZE / 144 + 0.02,
            floor - LEGEND_LINE / 2, sideways=beside is None)
    return ax, pd.DataFrame(shown)


@style()
def rob_figure(judgements: pd.DataFrame, *, order: list[str] | None = None, notes: Sequence[str] = (),
               width: float = 0.55 * WIDTH) -> tuple[Figure, pd.DataFrame]:
    """A figure of risk-of-bias lights alone, as high as its rows need. Arguments and table as for `rob_lights`."""
    fig = plt.figure(figsize=(width, figure_height(judgements, width, notes)))
    try:
        _, shown = rob_lights(fig.add_axes((0, 0, 1, 1)), judgements, order=order, notes=notes)
    except ValueError:
        plt.close(fig)
        raise
    return fig, shown


def rob_alt_text(shown: pd.DataFrame) -> str:
    """The lights in words, from the table that `rob_lights` gave back.

    "Risk of bias. Trial A: low throughout. Trial B: D2 some concerns, overall some concerns, the rest low."
    """
    sentences = ["Risk of bias."]
    for trial, lights in shown.groupby("trial", sort=False):
        words = {row["domain"]: row["judgement"].lower() for _, row in lights.iterrows()}
        others = [f"{domain} {judgement}" for domain, judgement in words.items() if judgement != "low"]
        if len(set(words.values())) == 1:
            sentences.append(f"{trial}: {lights['judgement'].iloc[0].lower()} throughout.")
        else:
            sentences.append(f"{trial}: {', '.join(others)}{', the rest low' if len(others) < len(words) else ''}.")
    return " ".join(sentences)


def domain_key(judgements: pd.DataFrame) -> str:
    """What the headers of the lights stand for, in one line."""
    return "Risk of bias: " + "; ".join(f"{name}\N{NO-BREAK SPACE}{text}" for name, text in DOMAINS.items()
                                        if name in judgements.columns and name != "overall") + "."


def panel_width(judgements: pd.DataFrame) -> float:
    """Inches that the lights need, without trial labels."""
    return sum(_widths(judgements)) + GAP_BEFORE_OVERALL + 2 * MARGIN


def legend_height(judgements: pd.DataFrame) -> float:
    """Inches that the legend needs when it stands below the lights, one judgement a line."""
    return LEGEND_LINE * len(_present(judgements)) + 0.04


def figure_height(judgements: pd.DataFrame, width: float, notes: Sequence[str] = ()) -> float:
    """Inches that the lights need when they stand alone in a figure of this width."""
    below = NOTE_LINE * len(_note_lines(judgements, width, notes))
    return 0.22 + 0.04 + LINE * len(judgements) + 0.04 + LEGEND_LINE + 0.06 + below + 0.04


def _note_lines(judgements: pd.DataFrame, width: float, notes: Sequence[str]) -> list[str]:
    return [line for note in (domain_key(judgements), *notes)
            for line in wrap(note, width - 2 * MARGIN, SMALL).split("\n")]


def _header(domain: str) -> str:
    return "Overall" if domain == "overall" else domain


def _widths(judgements: pd.DataFrame) -> list[float]:
    return [max(PITCH, text_width(_header(name), bold=True)) for name in DOMAINS if name in judgements.columns]


def _columns(judgements: pd.DataFrame) -> dict[str, float]:
    """Centre of each domain, in inches from the left end of the lights."""
    x, columns = MARGIN, {}
    names = [name for name in DOMAINS if name in judgements.columns]
    for name, width in zip(names, _widths(judgements)):
        x += GAP_BEFORE_OVERALL if name == "overall" else 0.0
        columns[name] = x + width / 2
        x += width
    return columns


def _present(judgements: pd.DataFrame) -> list[str]:
    return [name for name in LIGHTS if (judgements == name).any(axis=None)]


def _light(ax: Axes, x: float, y: float, judgement: str, share: float = 1.0) -> None:
    face, symbol, ink = LIGHTS[judgement]
    ax.plot([x], [y], marker="o", ms=share * LIGHT_SIZE, mfc=face, mec=INK, mew=0.6, ls="none", zorder=3)
    edge = 0 if symbol.startswith("$") else 1.2
    ax.plot([x], [y], marker=symbol, ms=share * SYMBOL_SIZE, mfc=ink, mec=ink, mew=edge, ls="none", zorder=4)


def _legend(ax: Axes, judgements: pd.DataFrame, x: float, y: float, *, sideways: bool) -> None:
    for judgement in _present(judgements):
        _light(ax, x, y, judgement, 0.85)
        ax.text(x + 0.11, y - OPTICAL * SMALL, judgement, size=SMALL, va="center")
        if sideways:
            x += 0.11 + text_width(judgement, SMALL) + 0.22
        else:
            y -= LEGEND_LINE
