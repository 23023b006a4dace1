"""Evaluation on Surefoot's own tasks of images: episodes, how well p predicts violations, and arrays for the report."""

from typing import Any, NamedTuple

import numpy as np

from surefoot.data.frames import FrameData, first_episodes
from surefoot.evaluation.evaluation import Condition, Episodes, Evaluation, Scored, Setting
from surefoot.evaluation.image_pictures import picture_arrays
from surefoot.evaluation.images import WITHIN, drawn_states, evaluate_from, score_infeasibility
from surefoot.evaluation.kinds.limits import PICTURED
from surefoot.evaluation.point_robot_pixels import (
    exact_set,
    first_states,
    held_out,
    measure_region,
    region_arrays,
    score_against_exact,
)
from surefoot.evaluation.summarize import start_figures
from surefoot.nn import member
from surefoot.protocols import HasInfeasibility
from surefoot.runs.files import npz_content
from surefoot.tasks import Task

EPISODES = 256


def on_images(task: Task, *, episodes: int = EPISODES) -> Evaluation:
    """Evaluation from starts that the task draws; on PointRobotPixels from feasible and a quarter as many infeasible
    ones.

    Args:
        task: Task of images.
        episodes: Episodes of each seed from the first kind of starts.

    Returns:
        The evaluation.
    """
    exact = (Condition(start="feasible"), Condition(start="infeasible", share=0.25))
    return Evaluation(
        conditions=exact if task.exact_set else (Condition(),),
        episodes=episodes,
        roll_out=_roll_out,
        scorers=(figures, infeasibility, pictures),
    )


class _ImageEpisodes(NamedTuple):
    """What was measured while the frames of each seed were in memory."""

    pictured: FrameData
    """Episodes of the first seed, for the pictures."""
    scores: dict[str, Any]
    """How well p tells what is infeasible; empty where the algorithm has no p."""
    arrays: dict[str, np.ndarray]
    """What else the pictures need."""


def _roll_out(at: Setting) -> Episodes:
    """Episodes of every seed, and how well p tells in them what is infeasible: by violations to come, or by the exact
    set of the task's layout."""
    at.data_to_compare()  # its remark comes before the work
    task, algorithm, seeds = at.task.name, at.run.algorithm, at.run.config.seeds
    first, *others = map(at.evaluation.count, at.evaluation.conditions)
    exact, starts = None, None
    if at.task.exact_set:
        with at.observer.progress("solving the exact feasible set", unit="sets") as line:
            exact = exact_set(task)
            line.report(1, 1)
        starts = first_states(task, exact, feasible=first, infeasible=others[0])
    starts = drawn_states(task, episodes=first) if starts is None else starts
    knowing = algorithm if isinstance(algorithm, HasInfeasibility) else None
    judged = None if knowing is None or exact is None else held_out(task)
    rows, scores, pictured = [], [], None
    with at.observer.progress("evaluating", unit="episodes") as line:
        for place, seed in enumerate(seeds):
            state = member(at.run.states, place)
            found, visited = evaluate_from(algorithm, state, task, starts, seed=seed)
            rows += [{"task": task, "algorithm": at.run.config.algorithm, **row} for row in found]
            if pictured is None:
                pictured = visited if exact is None else first_episodes(visited, PICTURED)
            if knowing is not None and exact is not None and judged is not None:
                scores.append(score_against_exact(knowing, state, judged, exact))
            elif knowing is not None:
                scores.append(score_infeasibility(knowing, state, visited))
            line.report((place + 1) * first, len(seeds) * first)
    assert pictured is not None
    if knowing is None:
        return Episodes(rows, _ImageEpisodes(pictured, {}, {}))
    if exact is None:
        return Episodes(rows, _ImageEpisodes(pictured, {"auroc": scores, "violation_within_steps": WITHIN}, {}))
    region = measure_region(knowing, [member(at.run.states, place) for place in range(len(seeds))], task, exact)
    known = {"exact": scores, "region": region.scores}
    return Episodes(rows, _ImageEpisodes(pictured, known, region_arrays(region, exact)))


def figures(at: Setting, episodes: Episodes) -> Scored:
    """Figures of each start set and of the data's episodes.

    Args:
        at: The evaluation.
        episodes: Its rollouts.

    Returns:
        Entries of the summary.
    """
    found: dict[str, Any] = start_figures(episodes.rows)
    if (data := at.data.frames) is not None:
        free = data.violating_steps == 0
        found["data"] = {
            "episodes": len(data.lengths),
            "return_mean": float(np.mean(data.returns)),
            "violating_steps_mean": float(np.mean(data.violating_steps)),
            "violation_free_rate": float(np.mean(free)),
            "violation_free_return_mean": float(np.mean(data.returns[free])) if free.any() else None,
        }
    return Scored({f"evaluation{at.place}": found, "acting": {"step": at.run.step, "task": at.task.name}})


def infeasibility(at: Setting, episodes: Episodes) -> Scored:
    """Agreement of p with violations or with the exact feasible set.

    Args:
        at: The evaluation.
        episodes: Its rollouts.

    Returns:
        Entries of the summary.
    """
    scores = episodes.seen.scores
    return Scored({f"evaluation{at.place}_infeasibility": scores} if scores else {})


def pictures(at: Setting, episodes: Episodes) -> Scored:
    """Arrays of the first seed's pictures for the report.

    Args:
        at: The evaluation.
        episodes: Its rollouts.

    Returns:
        A file of arrays.
    """
    arrays = picture_arrays(at.run.algorithm, member(at.run.states, 0), episodes.seen.pictured) | episodes.seen.arrays
    return Scored(files={f"pictures{at.place}.npz": npz_content(arrays)})
