"""Figures of a run on images: predictions, feasibility along an episode, fine-tuning, cost and return."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from surefoot.data.frames import FrameData
from surefoot.data.npz_files import Field
from surefoot.envs.point_robot import HAZARD_RADIUS
from surefoot.evaluation.rows import evaluation_rows_of
from surefoot.report.image_plots import (
    MethodEpisodes,
    ProbabilitySlice,
    feasibility_strip,
    online_curves,
    open_loop,
    probability_maps,
    return_against_cost,
)
from surefoot.runs.evaluation_files import kept
from surefoot.runs.files import read_arrays
from surefoot.safety.region import SLICES
from surefoot.training.finetune import LOG, read_round_rows

Figures = dict[str, tuple[Figure, str]]
OPEN_LOOP = {
    "truth": Field("uint8", ("n", "t", "h", "w", "c")),
    "predicted": Field("uint8", ("n", "t", "h", "w", "c")),
    "context": Field("iu", ()),
}
STRIP = {
    "frames": Field("uint8", ("t", "h", "w", "c")),
    "costs": Field("f", ("t",)),
    "infeasibility": Field("f", ("t",), optional=True),
}
MAPS = {
    "region_learned": Field("f", (len(SLICES), "seeds", "side", "side")),
    "region_exact": Field("f", (len(SLICES), "side", "side")),
    "region_axis": Field("f", ("side",), finite=True),
    "hazards": Field("f", ("hazards?", 2), finite=True),
}
"""Arrays that an evaluation keeps for each kind of picture."""


def image_figures(path: Path, *, name: str, data: FrameData | None, summary: dict[str, Any]) -> Figures:
    """Figures of a run on images, as far as its evaluation and fine-tuning provide them.

    Args:
        path: Folder of the run.
        name: Name of the method.
        data: Training data, or None.
        summary: Summary of the run.

    Returns:
        Name -> (figure, caption).
    """
    iou = summary.get("evaluation_infeasibility", {}).get("region", {}).get("iou", [0.0] * len(SLICES))
    file = kept(path, "evaluation", "pictures.npz")
    return {
        **_episodes_figure(path, name, data),
        **_online_figure(path, name),
        **picture_figures({} if file is None else read_arrays(file, OPEN_LOOP, STRIP, MAPS, what="pictures"), iou),
    }


def picture_figures(arrays: Mapping[str, np.ndarray], iou: Sequence[float]) -> Figures:
    """Figures of the arrays that an evaluation keeps for pictures.

    Args:
        arrays: Arrays by name.
        iou: IoU of each region slice, for the maps.

    Returns:
        Name -> (figure, caption).
    """
    return {**_map_figure(arrays, iou), **_strip_figure(arrays), **_open_loop_figure(arrays)}


def _open_loop_figure(arrays: Mapping[str, np.ndarray]) -> Figures:
    if "truth" not in arrays:
        return {}
    context = int(arrays["context"])
    caption = (
        f"Open-loop predictions of the first seed's world model: after {context} images that it saw, it is told the "
        f"actions of the episode only. Above what happened, below what it draws."
    )
    return {"open-loop": (open_loop(arrays["truth"], arrays["predicted"], context=context), caption)}


def _strip_figure(arrays: Mapping[str, np.ndarray]) -> Figures:
    if "infeasibility" not in arrays:
        return {}
    caption = (
        "Estimated feasibility 1 - p along an episode of the first seed, under its images: p is the probability that a "
        "violation cannot be avoided any more. The episode is the one, of the first of the evaluation (of the data, on "
        "a simulator), along which p moves most."
    )
    figure = feasibility_strip(arrays["frames"], arrays["infeasibility"], arrays["costs"])
    return {"feasibility-along-episode": (figure, caption)}


def _map_figure(arrays: Mapping[str, np.ndarray], iou: Sequence[float]) -> Figures:
    if "region_learned" not in arrays:
        return {}
    slices = [
        ProbabilitySlice(
            *SLICES[i],
            learned=arrays["region_learned"][i].astype(np.float32),
            exact=arrays["region_exact"][i].astype(np.float32),
            iou=iou[i],
        )
        for i in range(len(SLICES))
    ]
    caption = (
        "p of single images over positions at three speeds and headings (arrow): each image is seen without a past. "
        "The dashed border is the exact one; IoU is the mean over the seeds."
    )
    return {
        "probability-maps": (probability_maps(slices, arrays["region_axis"], arrays["hazards"], HAZARD_RADIUS), caption)
    }


def _episodes_figure(path: Path, name: str, data: FrameData | None) -> Figures:
    rows = [row for row in evaluation_rows_of(path) if row.get("start") in ("drawn", "feasible")]
    if not rows:
        return {}
    method = MethodEpisodes(
        name,
        np.array([row["return"] for row in rows], float),
        np.array([row["cost"] for row in rows], float),
        np.array([row["seed"] for row in rows]),
    )
    logged = None if data is None else (data.returns, data.cost_returns)
    starts = "feasible starts" if rows[0]["start"] == "feasible" else "starts that the task draws"
    caption = f"Return against cost of every episode from {starts}; grey: the episodes that the policy learned from."
    return {"return-cost": (return_against_cost([method], data=logged), caption)}


def _online_figure(path: Path, name: str) -> Figures:
    file = path / LOG
    if not file.exists():
        return {}
    rows = read_round_rows(file, what="rows of fine-tuning")
    caption = "Fine-tuning round by round: what its episodes earned, how many violated, and all that violated so far."
    return {"fine-tuning": (online_curves({name: rows}), caption)} if rows else {}
