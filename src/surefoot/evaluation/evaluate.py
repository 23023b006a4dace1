"""PointRobot's evaluation: rollouts of all seeds in one program, a row for each episode, and figures of the rows."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from surefoot.data import Dataset
from surefoot.envs import point_robot
from surefoot.envs.pure import PURE_TASKS, PureTask
from surefoot.evaluation.outputs import check_episodes
from surefoot.evaluation.rows import episode_row
from surefoot.evaluation.starts import ExactValue, Starts, is_infeasible_start
from surefoot.evaluation.summarize import fixed_start_figures, start_figures
from surefoot.nn import member
from surefoot.numerics import pinned
from surefoot.protocols import Acts
from surefoot.rollouts import scan
from surefoot.rollouts.acting import episode_keys

MOST_ENVS, EPISODES_PER_ENV = 64, 16
"""Environments idle at the end, while the longest episodes last, and cost as much as before: few of them waste
little."""
CHUNK = 100
"""Steps in one dispatch; progress is told between two."""


class Records(NamedTuple):
    """Kept figures of each episode, in NumPy; axes [seeds, episodes] or [seeds, episodes, HORIZON + 1, 2]."""

    episode_return: Float[np.ndarray, "s n"]
    """Sum of rewards, metres plus 1 for the goal."""
    cost: Float[np.ndarray, "s n"]
    """Violating steps."""
    length: Int[np.ndarray, "s n"]
    """Environment steps."""
    max_constraint: Float[np.ndarray, "s n"]
    """Largest h of the states entered, metres."""
    reached_goal: Bool[np.ndarray, "s n"]
    path: Float[np.ndarray, "s n t 2"]
    """Positions, the start first; NaN after the end. Metres."""


@pinned()
def roll_out_seeds(
    algorithm: Acts,
    states: Any,
    poses: Float[np.ndarray, "n pose"],
    *,
    seeds: Sequence[int],
    task: PureTask = PURE_TASKS["PointRobot"],
    on_progress: Callable[[int, int], None] | None = None,
) -> Records:
    """One episode of a robot's task from every pose for every seed; its noise depends on its seed and number alone.

    Args:
        algorithm: The policies' algorithm.
        states: States with a leading seed axis in the order of `seeds`.
        poses: First poses, [n, pose].
        seeds: Training seeds.
        task: The robot's environment.
        on_progress: Called with (episodes done, episodes in all), over all seeds.

    Returns:
        Figures and paths, [seeds, n].

    Raises:
        OutputError: An action is not finite.
    """
    count, report = len(poses), on_progress or (lambda done, total: None)
    first = scan.First(*_reset_to(jnp.asarray(poses)))
    found = []
    for place, seed in enumerate(seeds):
        report(place * count, len(seeds) * count)
        found.append(
            scan.roll_out(
                algorithm, member(states, place), task, first, keys=episode_keys(seed, np.arange(count)),
                num_envs=min(MOST_ENVS, -(-count // EPISODES_PER_ENV)), chunk=CHUNK, keep=entered,
                on_chunk=lambda _, done, place=place: report(place * count + done, len(seeds) * count),
            )
        )  # fmt: skip
    records: Records = jax.tree.map(lambda *parts: np.stack(parts), *[records_of(one, poses) for one in found])
    check_episodes(records.episode_return, records.cost, axes="seed, start")
    return records


_reset_to = jax.jit(point_robot.reset_to)
_goal_distance = jax.jit(point_robot.goal_distance)


def entered(algorithm: Acts, state: Any, seen: scan.ScanStep) -> tuple[Array, Array]:
    """Positions and h (meters) of the states that a step enters.

    Args:
        algorithm: Not read.
        state: Not read.
        seen: The step.

    Returns:
        (positions [n, 2], h [n]).
    """
    result: Any = seen.result
    return seen.entered.pose[:, :2], result.constraint


def records_of(found: scan.ScanRollout, poses: Float[np.ndarray, "n pose"]) -> Records:
    """Kept figures of one seed's episodes.

    Args:
        found: Rollout whose steps were kept by `entered`.
        poses: First poses, [n, pose].

    Returns:
        Figures and paths, [n].
    """
    sums, (positions, constraint) = found.sums, found.kept
    length = np.asarray(sums.length)
    there = np.arange(positions.shape[1]) < length[:, None]
    path = np.concatenate([poses[:, None, :2], np.where(there[..., None], positions, np.nan)], 1)
    last = positions[np.arange(len(poses)), length - 1]
    return Records(
        episode_return=np.asarray(sums.episode_return),
        cost=np.asarray(sums.cost),
        length=length,
        max_constraint=np.where(there, constraint, -np.inf).max(1),
        reached_goal=np.asarray(_goal_distance(last)) <= point_robot.GOAL_RADIUS,
        path=path.astype(np.float32),
    )


def episode_rows(
    records: Records, starts: Starts, *, seeds: Sequence[int], method: dict[str, str]
) -> list[dict[str, Any]]:
    """Rows of all seeds and episodes.

    Args:
        records: Figures, [seeds, episodes].
        starts: First poses of the episodes.
        seeds: Training seeds.
        method: Columns that all rows share.

    Returns:
        A row for each seed and episode.
    """
    return [
        episode_row(
            method,
            seed=int(seed),
            start=starts.sets[k],
            episode=starts.episodes[k],
            pose=[round(float(number), 6) for number in starts.poses[k]],
            episode_return=float(records.episode_return[s, k]),
            cost=float(records.cost[s, k]),
            length=int(records.length[s, k]),
            violating_steps=int(records.cost[s, k]),  # PointRobot's cost is 1 for each of them
            max_constraint=float(records.max_constraint[s, k]),
            reached_goal=bool(records.reached_goal[s, k]),
        )
        for s, seed in enumerate(seeds)
        for k in range(len(starts.sets))
    ]


def summarize_evaluation(
    rows: Sequence[dict[str, Any]], *, fixed_starts: Sequence[Sequence[float]] = point_robot.POINT_ROBOT.fixed_starts
) -> dict[str, Any]:
    """Figures of feasible and infeasible starts, and a record of each fixed start, for summary.json.

    Args:
        rows: Rows of episodes.
        fixed_starts: Poses of the fixed starts.

    Returns:
        Start set -> figures.
    """
    drawn = start_figures([row for row in rows if row["start"] != "fixed"])
    return {**drawn, "fixed": fixed_start_figures(rows, fixed_starts)}


@pinned()
def summarize_data(dataset: Dataset, exact_value: ExactValue, *, top_speed: float) -> dict[str, Any] | None:
    """Figures of the data's complete episodes, with the violating steps of those that start infeasible.

    Args:
        dataset: Logged episodes.
        exact_value: V* of poses.
        top_speed: Speed in m/s up to which the exact set covers a start; faster starts do not count as infeasible.

    Returns:
        Figures as of a start set; None without a complete episode.
    """
    if not len(dataset.episode_ends):
        return None
    last = dataset.episode_ends - 1
    ends = jnp.asarray(dataset.next_observations[last, :2])
    reached = np.asarray(point_robot.goal_distance(ends)) <= point_robot.GOAL_RADIUS
    returns = np.zeros(len(last)) if dataset.rewards is None else dataset.returns
    columns = zip(returns, dataset.cost_returns, dataset.lengths, dataset.violating_steps, reached, strict=True)
    rows = [
        episode_row(
            {},
            seed=0,
            start="data",
            episode=index,
            episode_return=float(episode_return),
            cost=float(cost),
            length=int(length),
            violating_steps=int(violating),
            reached_goal=bool(goal),
        )
        for index, (episode_return, cost, length, violating, goal) in enumerate(columns)
    ]
    figures = start_figures(rows)["data"]
    poses = np.asarray(point_robot.pose_of(jnp.asarray(dataset.observations[dataset.episode_starts])))
    covered = np.abs(poses[:, 2]) <= top_speed
    infeasible = covered.copy()
    infeasible[covered] = is_infeasible_start(poses[covered], exact_value(poses[covered]))
    figures["episodes_infeasible_starts"] = int(infeasible.sum())
    if infeasible.any():
        figures["violating_steps_mean_infeasible_starts"] = float(dataset.violating_steps[infeasible].mean())
    if dataset.rewards is None:
        figures = {name: value for name, value in figures.items() if not name.startswith("return")}
    return {name: value for name, value in figures.items() if name not in ("seeds", "per_seed")}
