"""Feasible value and signals along the episodes of an evaluation, for a task of one's own."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from surefoot.evaluation.along import FIELDS, FILE
from surefoot.report.style import BLUE, GREY, INK, VIOLATION, light_grid, new_figure, styled
from surefoot.runs.evaluation_files import kept
from surefoot.runs.files import read_arrays
from surefoot.text import plain_for_plot


def along_figure(path: Path) -> dict[str, tuple[Figure, str]]:
    """The figure of a run with its caption; empty where the evaluation kept no steps."""
    file = kept(path, "evaluation", FILE)
    arrays = {} if file is None else read_arrays(file, FIELDS)
    if not arrays or np.isnan(arrays["cost"]).all():
        return {}
    caption = (
        "The first episodes of the first seed. Signal: the worst of all, relative to its scale; above 0 it is violated "
        "(red: steps with a cost). V_h: above 0 no way is known to stay safe, which should come before a violation."
    )
    return {"along-episodes": (along_episodes(arrays), caption)}


@styled
def along_episodes(arrays: Mapping[str, np.ndarray]) -> Figure:
    """Figure with a panel for each episode, from the arrays of `evaluation.along.FIELDS`."""
    count = len(arrays["cost"])
    figure = new_figure(0.6 + 1.5 * count)
    for number, axes in enumerate(np.atleast_1d(figure.subplots(count, 1, sharex=True))):
        there = np.flatnonzero(~np.isnan(arrays["cost"][number]))
        signal, costly = arrays["h"][number][there], arrays["cost"][number][there] > 0
        axes.axhline(0.0, color=INK, linewidth=0.7)
        if not np.isnan(signal).all():
            axes.plot(there + 1, signal, color=GREY, label="signal")
        if "feasible_value" in arrays:
            axes.plot(there, arrays["feasible_value"][number][there], color=BLUE, label="V_h")
        height = np.where(np.isnan(signal), 0.0, signal)[costly]
        axes.scatter(there[costly] + 1, height, s=9, color=VIOLATION, zorder=5, linewidths=0, label="step with a cost")
        axes.set_ylabel(plain_for_plot(f"episode {number}"))
        light_grid(axes)
        if not number:
            axes.legend(loc="upper right", ncols=3)
        if number == count - 1:
            axes.set_xlabel("step")
    return figure
