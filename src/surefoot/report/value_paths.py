"""The figure of V_h along logged episodes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from surefoot.algorithms import algorithm_class
from surefoot.data import Dataset
from surefoot.errors import SurefootError
from surefoot.evaluation.value_paths import ValuePath, feasible_margins, value_paths
from surefoot.observer import Observer
from surefoot.protocols import HasFeasibleValue
from surefoot.report.style import BLUE, INK, VIOLATION, light_grid, new_figure, styled
from surefoot.runs.loaded import load_run
from surefoot.text import plain_for_plot
from surefoot.training import RunConfig, RunDirectory

_CAPTION = (
    "V_h along logged episodes. Line: mean over the seeds; band: from the lowest to the highest. At most at the dashed "
    "line a state counts as feasible. Red: steps into a violation, before which V_h should have risen."
)
_COLUMNS = 2


def value_figure(
    path: Path, config: RunConfig, dataset: Dataset | None, *, observer: Observer
) -> dict[str, tuple[Figure, str]]:
    """Figure of V_h along logged episodes of a run, with its caption.

    Args:
        path: Folder of the run.
        config: Its configuration.
        dataset: Logged episodes, or None.
        observer: Receives a warning where the run cannot be loaded.

    Returns:
        Name -> (figure, caption); empty without V_h, without a checkpoint, or without vectors in memory.
    """
    if dataset is None or not issubclass(algorithm_class(config.algorithm), HasFeasibleValue):
        return {}
    try:
        if RunDirectory(path).latest() is None:
            return {}
        run = load_run(path, {})
        algorithm: Any = run.algorithm  # it has a V_h, by its class
        paths = value_paths(algorithm, run.states, dataset)
        margin = float(feasible_margins(algorithm, run.states)[0])
    except SurefootError as error:
        observer.warn(f"the report shows no V_h: {error}")
        return {}
    return {"value-paths": (draw_value_paths(paths, margin), _CAPTION)} if paths else {}


@styled
def draw_value_paths(paths: Sequence[ValuePath], margin: float) -> Figure:
    """A panel for each episode with V_h over its steps: mean and range of the seeds, violating steps red.

    Args:
        paths: V_h along episodes.
        margin: Margin m; the dashed line is at -m.

    Returns:
        The figure.
    """
    rows = -(-len(paths) // _COLUMNS)
    figure = new_figure(2.0 * rows + 0.3)
    panels = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for axes, path in zip(panels, paths, strict=False):
        steps = np.arange(path.values.shape[1])
        if len(path.values) > 1:
            axes.fill_between(steps, path.values.min(0), path.values.max(0), color=BLUE, alpha=0.2, linewidth=0)
        axes.plot(steps, path.values.mean(0), color=BLUE)
        axes.axhline(-margin, color=INK, linewidth=0.8, linestyle="--")
        for step in np.flatnonzero(path.violating):
            axes.axvspan(step - 0.5, step + 0.5, color=VIOLATION, alpha=0.25, linewidth=0)
        count = int(path.violating.sum())
        kind = "no violation" if not count else "1 violating step" if count == 1 else f"{count:,} violating steps"
        axes.set_title(plain_for_plot(f"Episode {path.number}: {kind}"), loc="left")
        axes.set_xlabel("step")
        axes.set_ylabel("$V_h$")
        light_grid(axes)
    for axes in panels[len(paths) :]:
        axes.set_visible(False)
    return figure
