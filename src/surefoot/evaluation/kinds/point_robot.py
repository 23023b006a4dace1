"""Evaluation of PointRobot and PointRobotSlow from chosen starts, with the learned feasible region against the exact
one."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from surefoot.data import Dataset
from surefoot.envs import point_robot
from surefoot.envs.pure import PURE_TASKS
from surefoot.evaluation.evaluate import Records, episode_rows, roll_out_seeds, summarize_data, summarize_evaluation
from surefoot.evaluation.evaluation import Condition, Episodes, Evaluation, Scored, Setting
from surefoot.evaluation.metrics import area_under_curve
from surefoot.evaluation.starts import Starts, draw_starts
from surefoot.numerics import check_finite
from surefoot.protocols import HasFeasibleValue
from surefoot.runs.files import npz_content
from surefoot.runs.loaded import LoadedRun
from surefoot.safety.exact import cell_centers, slice_poses
from surefoot.safety.exact_sets import USUAL_SWEEPS, FeasibleSet, exact_set, top_speed
from surefoot.safety.region import SLICES, score_seeds

EPISODES = 1000
PICTURED_EPISODES = 200
"""Episodes of each start set, of the first seed, whose paths are kept for pictures."""
RESOLUTION, EXTENT = 201, 2.7
"""Cells along each side of a region slice, and half its side in meters."""


def from_exact_starts(*, episodes: int = EPISODES, dataset: Dataset | None = None) -> Evaluation:
    """Evaluation from feasible starts, half as many infeasible ones, and the fixed ones.

    Args:
        episodes: Episodes of each seed from feasible starts.
        dataset: Data of the run, where they were read already.

    Returns:
        The evaluation.
    """
    return Evaluation(
        conditions=(Condition(start="feasible"), Condition(start="infeasible", share=0.5), Condition(start="fixed")),
        episodes=episodes,
        roll_out=partial(_roll_out, dataset=dataset),
        scorers=(figures, feasible_region, paths),
        replaces=("protocol", "rollouts"),  # a sweep measures by a protocol
    )


class Region(NamedTuple):
    """Feasible values on the published slices, and scores of the learned against the exact ones."""

    learned: Float[np.ndarray, "slice seed y x"]
    exact: Float[np.ndarray, "slice y x"]
    scores: dict[str, Any]
    """Means over the seeds, a list over slices for each score; "per_seed" holds [seed][slice]."""


class _Exact(NamedTuple):
    """All that the exact set is needed for: hundreds of megabytes that the rollouts need not stand beside."""

    starts: Starts
    data: dict[str, Any] | None
    """Figures of the data's episodes."""
    region: Region | None


class _RobotEpisodes(NamedTuple):
    exact: _Exact
    records: Records


def _from_exact_set(at: Setting, dataset: Dataset | None) -> _Exact:
    dataset = at.data_to_compare().transitions if dataset is None else dataset
    task, (feasible, infeasible, _) = at.task.name, at.evaluation.conditions
    with at.observer.progress("solving the exact feasible set", unit="sets") as line:
        exact = exact_set(task, on_sweep=lambda sweep: line.report(sweep.number, USUAL_SWEEPS, unit="sweeps"))
        line.report(1, 1)
    starts = draw_starts(
        exact.value,
        feasible=at.evaluation.count(feasible),
        infeasible=at.evaluation.count(infeasible),
        robot=point_robot.ROBOTS[task],
    )
    data = None if dataset is None else summarize_data(dataset, exact.value, top_speed=top_speed(task))
    return _Exact(starts, data, measure_region(at.run, exact))


def _roll_out(at: Setting, *, dataset: Dataset | None) -> Episodes:
    """An episode from each start for every seed."""
    exact, seeds = _from_exact_set(at, dataset), at.run.config.seeds
    with at.observer.progress("evaluating", unit="episodes") as line:
        records = roll_out_seeds(
            at.run.algorithm,
            at.run.states,
            exact.starts.poses,
            seeds=seeds,
            task=PURE_TASKS[at.task.name],
            on_progress=line.report,
        )
    return Episodes(episode_rows(records, exact.starts, seeds=seeds, method=at.method), _RobotEpisodes(exact, records))


def figures(at: Setting, episodes: Episodes) -> Scored:
    """Figures of each start set and of the data.

    Args:
        at: The evaluation.
        episodes: Its rollouts.

    Returns:
        Entries of the summary.
    """
    fixed, data = point_robot.ROBOTS[at.task.name].fixed_starts, episodes.seen.exact.data
    found = summarize_evaluation(episodes.rows, fixed_starts=fixed) | ({} if data is None else {"data": data})
    return Scored({"evaluation": found, "acting": at.acting}, drawn={})


def feasible_region(at: Setting, episodes: Episodes) -> Scored:
    """The learned feasible region against the exact one; nothing where the algorithm has none.

    Args:
        at: The evaluation.
        episodes: Its rollouts.

    Returns:
        Scores for the summary, and a file of arrays.
    """
    region: Region | None = episodes.seen.exact.region
    if region is None:
        return Scored()
    axis = cell_centers(RESOLUTION, EXTENT)
    # float16 keeps its relative precision down to zero, where the borders are drawn.
    arrays = {"learned": region.learned.astype(np.float16), "exact": region.exact.astype(np.float16), "axis": axis}
    return Scored({"feasible_region": region.scores}, {"region.npz": npz_content(arrays)})


def measure_region(run: LoadedRun, exact: FeasibleSet) -> Region | None:
    """Feasible values of every seed on the published slices, scored against the exact ones.

    Args:
        run: The run.
        exact: Exact feasible set.

    Returns:
        The region; None where the algorithm has no feasible value.

    Raises:
        OutputError: The networks overflow.
    """
    algorithm = run.algorithm
    if not isinstance(algorithm, HasFeasibleValue):
        return None

    @jax.jit
    def values_of(states: Any, observations: Float[Array, "n obs"]) -> Float[Array, "seed n"]:
        # One seed after the other: the activations of 40,000 observations should be in memory once.
        return jax.lax.map(lambda state: algorithm.feasible_value(state, observations), states)

    # Slow actuators: the slices with nothing accelerated yet.
    further = (0.0,) if point_robot.ROBOTS[run.config.task].lag else ()
    poses = [slice_poses(*one, *further, resolution=RESOLUTION, extent=EXTENT) for one in SLICES]
    observations = [point_robot.observe(jnp.asarray(part, jnp.float32)) for part in poses]
    learned = np.stack([np.asarray(values_of(run.states, part)) for part in observations])
    check_finite(
        "feasible value (slice, seed, point)", learned, f"its networks overflow on {run.config.task}'s observations"
    )
    values = np.stack([exact.value(part) for part in poses])
    per_seed: dict[str, Any] = {**score_seeds(learned, values)}
    per_seed["auroc"] = [
        [area_under_curve(learned[i, s], values[i] > 0) for i in range(len(SLICES))] for s in range(learned.shape[1])
    ]
    means = {name: np.mean(numbers, axis=0).tolist() for name, numbers in per_seed.items()}
    grid = (RESOLUTION, RESOLUTION)
    return Region(
        learned.reshape(*learned.shape[:2], *grid), values.reshape(len(SLICES), *grid), {**means, "per_seed": per_seed}
    )


def paths(at: Setting, episodes: Episodes) -> Scored:
    """File of positions along some episodes, for pictures.

    Args:
        at: The evaluation; not read.
        episodes: Its rollouts.

    Returns:
        A file of arrays.
    """
    return Scored(files={"paths.npz": npz_content(_pictured(episodes.seen.exact.starts, episodes.seen.records))})


def _pictured(starts: Starts, records: Records) -> dict[str, np.ndarray]:
    """Positions [episodes, HORIZON + 1, 2] by start set: the first seed's first ones, the fixed starts of every seed.

    float32, because a rounded position would move a violation's border.
    """
    sets = np.array(starts.sets)
    chosen = {name: np.flatnonzero(sets == name)[:PICTURED_EPISODES] for name in ("feasible", "infeasible")}
    paths = {name: records.path[0, rows] for name, rows in chosen.items()}
    fixed = np.asarray(records.path)[:, sets == "fixed"]
    return {**paths, "fixed": fixed.reshape(-1, *fixed.shape[2:])}  # type: ignore[dict-item]
