"""PointRobot's evaluation: rollouts of all seeds in one program, a row for each episode, and what the rows say."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from surefoot.data import Dataset
from surefoot.envs import point_robot
from surefoot.evaluation.outputs import check_episodes
from surefoot.evaluation.rollouts import Records, roll_out
from surefoot.evaluation.rows import episode_row
from surefoot.evaluation.starts import ExactValue, Starts, is_infeasible_start
from surefoot.evaluation.summarize import fixed_start_figures, start_figures
from surefoot.numerics import enough_memory, pinned
from surefoot.protocols import Algorithm

LARGEST_BLOCK = 512
"""Episodes of each seed in one dispatch; more are cut into equal blocks, so that progress can be told."""
EPISODES_PER_LANE = 16
"""Lanes idle at the end, while the longest episodes last, and cost as much as before: few lanes waste little."""
_SEED = 11_02_2024


@pinned()
def roll_out_seeds(
    algorithm: Algorithm,
    states: Any,
    poses: Float[np.ndarray, "n pose"],
    *,
    seeds: Sequence[int],
    lag: float = 0.0,
    on_progress: Callable[[int, int], None] | None = None,
) -> Records:
    """One episode of a robot with that lag (seconds) from every pose for every seed, as NumPy arrays [seeds, n, ...].

    `states` has a leading seed axis in the order of `seeds`; a seed's noise does not depend on the others beside it.
    `on_progress(done, total)` counts episodes of all seeds. Raises `OutputError` for actions that are not finite.
    """
    count, total = len(poses), len(poses) * len(seeds)
    blocks = -(-count // LARGEST_BLOCK)
    size = -(-count // blocks)
    # Equal blocks share one compiled program; the last one is filled up with poses that are dropped again.
    index = np.arange(blocks * size).reshape(blocks, size) % count
    keys = jnp.stack([jax.random.fold_in(jax.random.key(_SEED), seed) for seed in seeds])
    parts = []
    for block, rows in enumerate(index):
        if on_progress is not None:
            on_progress(min(block * size, count) * len(seeds), total)
        block_keys = jax.vmap(partial(jax.random.fold_in, data=block))(keys)
        memory = enough_memory(f"a block of {size} episodes of {len(seeds)} seeds", "evaluate fewer episodes")
        with memory, jax.debug_nans(False):  # paths hold NaN behind their ends
            records = _roll_out(
                algorithm, states, jnp.asarray(poses[rows]), block_keys, lanes=-(-size // EPISODES_PER_LANE), lag=lag
            )
            parts.append(jax.tree.map(np.asarray, records))
    if on_progress is not None:
        on_progress(total, total)
    whole: Records = jax.tree.map(lambda *values: np.concatenate(values, axis=1)[:, :count], *parts)
    check_episodes(whole.episode_return, whole.cost, axes="seed, start")
    return whole


@partial(jax.jit, static_argnames=("algorithm", "lanes", "lag"))
def _roll_out(
    algorithm: Algorithm, states: Any, poses: Float[Array, "n pose"], keys: Key[Array, " s"], *, lanes: int, lag: float
) -> Records:
    # One seed after the other in one program: on a CPU that takes half as long as `vmap`, whose batched matrix products
    # are slower than plain ones and whose seeds all wait for the longest.
    def one_seed(seed: tuple[Any, Key[Array, ""]]) -> Records:
        state, key = seed
        return roll_out(algorithm.policy(state), poses, key, lanes=lanes, lag=lag)

    return jax.lax.map(one_seed, (states, keys))


def episode_rows(
    records: Records, starts: Starts, *, seeds: Sequence[int], method: dict[str, str]
) -> list[dict[str, Any]]:
    """A row for each seed and episode; `method` holds the columns that all share."""
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


def summarise_evaluation(
    rows: Sequence[dict[str, Any]], *, fixed_starts: Sequence[Sequence[float]] = point_robot.POINT_ROBOT.fixed_starts
) -> dict[str, Any]:
    """What summary.json says of the policy: figures of feasible and infeasible starts, and a list of the fixed ones."""
    drawn = start_figures([row for row in rows if row["start"] != "fixed"])
    return {**drawn, "fixed": fixed_start_figures(rows, fixed_starts)}


@pinned()
def summarise_data(dataset: Dataset, exact_value: ExactValue, *, top_speed: float) -> dict[str, Any] | None:
    """The same figures of the data's complete episodes, and the violating steps of those that start infeasible.

    Starts faster than `top_speed` (m/s), which the exact set does not cover, are not counted as infeasible. None where
    the data hold no complete episode.
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
