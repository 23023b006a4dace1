"""The HTML page of a run."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from surefoot.data import Dataset
from surefoot.data.frames import FrameData
from surefoot.data.npz_files import Field
from surefoot.data.selection import method_name
from surefoot.envs import point_robot
from surefoot.file_sets import check_file_place
from surefoot.json_files import read_rows
from surefoot.observer import Observer
from surefoot.report.along_plots import along_figure
from surefoot.report.budget_figures import budget_figures
from surefoot.report.html import write_report
from surefoot.report.image_figures import image_figures
from surefoot.report.maps import RegionSlice, Trajectory, feasible_region, trajectories
from surefoot.report.plots import data_overview, training_curves
from surefoot.report.protocol_figures import animations, data_points, scatter_figure
from surefoot.report.summary_rows import budget_rows, evaluation_rows, protocol_rows
from surefoot.report.task_text import task_sentence
from surefoot.report.value_paths import value_figure
from surefoot.runs.evaluation_files import kept
from surefoot.runs.files import read_arrays
from surefoot.runs.origin import check_origin
from surefoot.runs.run_data import run_data
from surefoot.runs.summary import read_summary
from surefoot.safety.region import SLICES
from surefoot.training import RunDirectory
from surefoot.training.metrics_log import MetricsRow

PAGE = "report.html"
REGION = {
    "learned": Field("f", (len(SLICES), "seeds", "side", "side")),
    "exact": Field("f", (len(SLICES), "side", "side")),
    "axis": Field("f", ("side",), finite=True),
}
PATHS = {name: Field("f", (f"{name}?", "steps", 2), optional=True) for name in ("feasible", "infeasible", "fixed")}
"""Arrays of an evaluation's files."""
Figures = dict[str, tuple[Figure, str]]


def report(
    path: Path, *, out: Path | None = None, dataset: Dataset | None = None, observer: Observer | None = None
) -> Path:
    """Write the page of a run; parts that it lacks are left out.

    Args:
        path: Folder of the run.
        out: The HTML file; None: report.html in the run's folder.
        dataset: Training data, where they were read already.
        observer: Receives warnings.

    Returns:
        Path of the page.

    Raises:
        ConfigError: There is no run, or its parts are of different trainings.
    """
    directory = RunDirectory(path)
    config = directory.read_config()
    summary = read_summary(path)
    check_origin(directory, config, summary)
    page = path / PAGE if out is None else out
    check_file_place(page)
    found = run_data(directory, config)
    if found.reason:
        (observer or Observer()).warn(f"the report shows no data: {found.reason}.")
    dataset, frames = (found.transitions if dataset is None else dataset), found.frames
    task = config.known_task()
    name = method_name(config.algorithm, config.data_selection)
    figures: Figures = {
        **scatter_figure(path, name=name, data=data_points(dataset, task, summary)),
        **budget_figures(path, config.task),
        **(image_figures(path, name=name, data=frames, summary=summary) if task.image_shape is not None else {}),
        **along_figure(path),
        **_region_figure(path, summary),
        **value_figure(path, config, dataset, observer=observer or Observer()),
        **_trajectory_figure(path),
        **_training_figure(directory),
        **_data_figure(dataset or frames, found.card),
    }
    write_report(
        page,
        title=f"{name} on {config.task}",
        summary=summary,
        figures=figures,
        table_rows=_rows(summary),
        about=task_sentence(task),
        exports=True,
        details={
            "Data": summary.get("data", {}),
            "Training": summary.get("training", {}),
            "Acting": summary.get("acting", {}),
            "Latency": _latency(summary),
            "Simulator": {**summary.get("simulator", {}), **summary.get("protocol", {}).get("timing", {})},
        },
        animations=animations(path, summary),
    )
    return page


def _rows(summary: dict[str, Any]) -> list[dict[str, str]]:
    """The table of the run's evaluation, of whichever kind it was."""
    if "budgets" in summary:
        return budget_rows(summary["budgets"])
    return protocol_rows(summary) or evaluation_rows(summary)


def _latency(summary: dict[str, Any]) -> dict[str, Any]:
    """What `surefoot bench act` found, flat; empty where it was not run."""
    latency = summary.get("latency", {})
    flat = {
        f"{record['batch']} at once": f"median {record['p50_ms']:.3g} ms, 95th percentile {record['p95_ms']:.3g} ms"
        for record in latency.get("batches", [])
    }
    return {**flat, **{name: latency[name] for name in ("devices", "step") if name in latency}}


def _region_figure(path: Path, summary: dict[str, Any]) -> Figures:
    file = kept(path, "evaluation", "region.npz")
    arrays = {} if file is None else read_arrays(file, REGION)
    if not arrays:
        return {}
    scores = summary.get("feasible_region", {})
    axis = arrays["axis"]
    slices = [
        RegionSlice(
            speed=speed,
            heading=heading,
            x=axis,
            y=axis,
            learned=arrays["learned"][index].astype(np.float32),
            exact=arrays["exact"][index].astype(np.float32),
            **{name: scores[name][index] for name in ("iou", "false_safe_rate", "false_alarm_rate") if name in scores},
        )
        for index, (speed, heading) in enumerate(SLICES)
    ]
    caption = (
        "Learned feasible value over positions at three speeds and headings (arrow); > 0 means that no way out is "
        "known. The dashed border is the exact one. Scores are means over the seeds."
    )
    return {"feasible-region": (feasible_region(slices), caption)}


def _trajectory_figure(path: Path) -> Figures:
    file = kept(path, "evaluation", "paths.npz")
    arrays = {} if file is None else read_arrays(file, PATHS)
    if not arrays:
        return {}
    found = [trajectory for name, paths in arrays.items() for trajectory in _trajectories(paths, name)]
    caption = (
        "Episodes of the first seed from starts that full control can save and from starts that it cannot, and the two "
        "fixed starts of every seed."
    )
    return {"trajectories": (trajectories(found), caption)}


def _trajectories(paths: np.ndarray, start: str) -> list[Trajectory]:
    """Episodes [n, T + 1, 2] that are NaN after their ends, each cut at its own."""
    # At once, because JAX compiles anew for every length that it meets.
    h = np.asarray(point_robot.constraint(jnp.asarray(paths)))
    there = np.isfinite(paths[..., 0])
    return [Trajectory(path[mask], signal[mask], start) for path, signal, mask in zip(paths, h, there, strict=True)]


def _training_figure(directory: RunDirectory) -> Figures:
    if not directory.metrics_path.exists():
        return {}
    rows = read_rows(
        directory.metrics_path, MetricsRow, what="rows of metrics", advice="resume the run", cut_end=True
    )  # fmt: skip
    flat = [{"step": row["step"], "phase": row["phase"], "seed": row["seed"], **row["metrics"]} for row in rows]
    if not flat:
        return {}
    caption = "Training metrics over the updates, means of each log interval."
    return {"training": (training_curves(flat), caption)}


def _data_figure(dataset: Dataset | FrameData | None, card: dict[str, Any]) -> Figures:
    if dataset is None or dataset.rewards is None or not len(dataset.episode_ends):
        return {}
    # A robot's returns and costs are metres and violating steps; simulators have units of their own.
    labels = {} if dataset.task in point_robot.ROBOTS else {"return_label": "return", "cost_label": "cost return"}
    figure = data_overview(
        dataset.returns, dataset.cost_returns, dataset.lengths, groups=_groups(dataset, card), **labels
    )
    return {"data": (figure, "The data's episodes: cost return against return, and how long they are.")}


def _groups(dataset: Dataset | FrameData, card: dict[str, Any]) -> list[str] | None:
    """The behaviour that collected each episode, where the card says so."""
    names = [""] * len(dataset.episode_starts)
    try:
        for behavior in card.get("behaviours", []):
            if "episodes" in behavior:
                first, end = behavior["episodes"]
                mine = range(first, min(end, len(names)))
            else:
                first, end = behavior["rows"]
                mine = np.flatnonzero((dataset.episode_starts >= first) & (dataset.episode_starts < end))
            for index in mine:
                names[index] = str(behavior["name"])
    except (TypeError, ValueError, KeyError):  # somebody else's card, which may say what it likes
        return None
    return names if all(names) else None
