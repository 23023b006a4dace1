"""Style of all figures: colors that color-blind readers distinguish, sizes, thin axes.

Figures are matplotlib's own objects without pyplot, so that nothing is shared between them and nothing stays open.
"""

import functools
import io
import os
from collections.abc import Callable
from typing import IO, Any, Literal, ParamSpec, TypeVar

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

PAGE_WIDTH = 9.0
"""Inches: at the report's page width, a text of 9 points is as large as the caption's."""

BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#B0558F", "#56B4E9"
"""Okabe and Ito's palette (2008), the purple darker for thin lines."""
INK, GREY, LIGHT = "#1A1A1A", "#767676", "#D0D0D0"
VIOLATION = "#C8102E"
SERIES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
MARKERS = ("o", "s", "^", "D", "v", "P")

STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
    "font.size": 9.0,
    "text.usetex": False,
    "text.parse_math": True,  # as `plain_for_plot` expects
    "text.color": INK,
    "mathtext.fontset": "dejavusans",
    "axes.titlesize": 9.0,
    "axes.titlepad": 6.0,
    "axes.labelsize": 9.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.7,
    "axes.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": False,
    "axes.formatter.use_mathtext": True,
    "figure.facecolor": "white",
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.solid_capstyle": "round",
    "hatch.linewidth": 0.5,
    "savefig.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "surefoot",  # the same figure gives the same bytes
}

P = ParamSpec("P")
R = TypeVar("R")


def styled(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator that runs a plotting function under `STYLE`, whatever the user's matplotlibrc says."""

    @functools.wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.rc_context(STYLE):
            return function(*args, **kwargs)

    return inner


def new_figure(height: float, *, width: float = PAGE_WIDTH, square: bool = False) -> Figure:
    """An empty figure that lays itself out and draws with Agg.

    Args:
        height: Inches.
        width: Inches.
        square: Whether its axes have equal scales.

    Returns:
        The figure.
    """
    figure = Figure(figsize=(width, height), layout="compressed" if square else "constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: str | os.PathLike[str] | IO[bytes], **options: Any) -> None:
    """Write a figure to a file under `STYLE`.

    Args:
        figure: The figure.
        path: File, or an open binary file.
        options: Options of `Figure.savefig`.
    """
    with matplotlib.rc_context(STYLE):
        figure.savefig(path, **options)


def png_of(figure: Figure, *, dpi: int, **options: Any) -> bytes:
    """A figure as the content of a PNG file, under `STYLE`.

    Args:
        figure: The figure.
        dpi: Dots per inch.
        options: Options of `Figure.savefig`.

    Returns:
        The content.
    """
    picture = io.BytesIO()
    save_figure(figure, picture, format="png", dpi=dpi, **options)
    return picture.getvalue()


def light_grid(axes: Axes, *, axis: Literal["both", "x", "y"] = "both") -> None:
    """Draw thin grid lines behind the data.

    Args:
        axes: Axes of the plot.
        axis: Direction of the ticks that get lines.
    """
    axes.grid(True, axis=axis, color=LIGHT, linewidth=0.5, alpha=0.7)
