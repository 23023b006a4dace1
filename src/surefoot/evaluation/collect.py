"""Collection of data in Surefoot's own tasks with scripted behaviors."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from surefoot.data import Dataset
from surefoot.data.frames import FrameData, from_episodes, join
from surefoot.envs import behaviors, hazard_run, point_robot_pixels
from surefoot.envs.point_robot import ROBOTS
from surefoot.envs.point_robot_pixels import VARIANTS, Variant
from surefoot.evaluation.pieces import in_pieces
from surefoot.numerics import pinned
from surefoot.ranges import SEED, check_count
from surefoot.tasks import Task, get_task

_EPISODES_AT_ONCE = 256
_IMAGES_AT_ONCE = 512


@pinned()
def collect_point_robot(
    *, transitions: int, seed: int, task: str = "PointRobot", on_progress: Callable[[int, int], None] | None = None
) -> Dataset:
    """Transitions of a point robot: half by random held actions, half by goal-seekers of varied caution.

    The last episode of each half is cut to fit and ends as a timeout. A seed gives the same bits on the same machine.

    Args:
        transitions: Rows, at least 2.
        seed: Seed.
        task: A task of `point_robot.ROBOTS`.
        on_progress: Called with (rows done, rows in all) after each batch of episodes.

    Returns:
        The dataset.

    Raises:
        ConfigError: `transitions` or `seed` is out of range.
    """
    check_count(transitions, "transitions", "[2, 10^9]")
    check_count(seed, "seed", SEED)
    halves = (transitions // 2, transitions - transitions // 2)
    parts: list[behaviors.EpisodeBatch] = []
    done = 0
    for seeks_goal, rows in zip((False, True), halves, strict=True):
        kept, batch = 0, 0
        key = jax.random.fold_in(jax.random.key(seed), int(seeks_goal))
        while kept < rows:
            keys = jax.random.split(jax.random.fold_in(key, batch), _EPISODES_AT_ONCE)
            episodes = behaviors.roll_out(keys, jnp.full(_EPISODES_AT_ONCE, seeks_goal), ROBOTS[task])
            part = _flatten(jax.tree.map(np.asarray, episodes), rows - kept)
            parts.append(part)
            kept, batch = kept + len(part.valid), batch + 1
            if on_progress is not None:
                on_progress(done + kept, transitions)
        done += rows
    return _dataset(jax.tree.map(lambda *values: np.concatenate(values), *parts), get_task(task))


def _flatten(episodes: behaviors.EpisodeBatch, most: int) -> behaviors.EpisodeBatch:
    """The valid rows in order, at most `most`; a cut episode ends as a timeout."""
    valid = episodes.valid
    flat = jax.tree.map(lambda values: values[valid][:most], episodes)
    if not flat.step.terminated[-1]:
        flat.step.truncated[-1] = True
    return flat


def _dataset(rows: behaviors.EpisodeBatch, task: Task) -> Dataset:
    columns = {
        "observations": rows.observation,
        "actions": rows.action,
        "rewards": rows.step.reward,
        "costs": rows.step.cost,
        "next_observations": rows.step.observation,
        "terminated": rows.step.terminated,
        "truncated": rows.step.truncated,
    }
    if task.has_signal:
        assert rows.step.constraint is not None
        columns["constraints"] = rows.step.constraint
    return Dataset(task=task.name, **{name: np.asarray(values) for name, values in columns.items()})


@pinned()
def collect_hazard_run(
    *, transitions: int, seed: int, on_progress: Callable[[int, int], None] | None = None
) -> FrameData:
    """Whole episodes of HazardRun, equally many of each behavior, one behavior after the other.

    A seed gives the same bits on the same machine.

    Args:
        transitions: Steps, at least this many.
        seed: Seed.
        on_progress: Called with (steps done, steps in all).

    Returns:
        The frames.

    Raises:
        ConfigError: `transitions` or `seed` is out of range.
    """
    check_count(transitions, "transitions", "[1, 10^9]")
    check_count(seed, "seed", SEED)
    kinds = len(hazard_run.BEHAVIORS)
    each = -(-transitions // (hazard_run.HORIZON * kinds))
    parts = []
    for behavior in range(kinds):
        key = jax.random.fold_in(jax.random.key(seed), behavior)
        for first in range(0, each, _EPISODES_AT_ONCE):
            numbers = jnp.arange(first, first + _EPISODES_AT_ONCE)
            keys = jax.vmap(lambda number, key=key: jax.random.fold_in(key, number))(numbers)
            episodes = hazard_run.roll_out(keys, jnp.full(_EPISODES_AT_ONCE, behavior))
            kept = min(_EPISODES_AT_ONCE, each - first)
            parts.append(from_episodes("HazardRun", *(np.asarray(values)[:kept] for values in episodes)))
            if on_progress is not None:
                done = behavior * each + first + kept
                on_progress(done * hazard_run.HORIZON, kinds * each * hazard_run.HORIZON)
    return join(parts)


class PixelEpisodes(NamedTuple):
    """Episodes of PointRobotPixels, and the poses that their images show."""

    frames: FrameData
    poses: Float[np.ndarray, "N 4"]
    """(x, y, v, theta) of every frame."""
    behaviors: list[tuple[str, int]]
    """Name and number of episodes of each behavior, in the order of the episodes."""


@pinned()
def collect_point_robot_pixels(
    *,
    transitions: int,
    seed: int,
    task: str = "PointRobotPixels",
    on_progress: Callable[[int, int], None] | None = None,
) -> PixelEpisodes:
    """Whole episodes of a variant of PointRobotPixels, about equally many steps of each behavior, one after the other.

    A seed gives the same bits on the same machine.

    Args:
        transitions: Steps, at least this many.
        seed: Seed.
        task: Name of the variant.
        on_progress: Called with (steps done, steps in all).

    Returns:
        The episodes.

    Raises:
        ConfigError: `transitions` or `seed` is out of range.
    """
    check_count(transitions, "transitions", "[1, 10^9]")
    check_count(seed, "seed", SEED)
    names, variant = point_robot_pixels.BEHAVIORS, VARIANTS[task]
    each = -(-transitions // len(names))
    parts, counts = [], []
    for behavior, name in enumerate(names):
        key = jax.random.fold_in(jax.random.key(seed), behavior)
        steps, episodes = 0, 0
        while steps < each:
            numbers = jnp.arange(episodes, episodes + _EPISODES_AT_ONCE)
            keys = jax.vmap(lambda number, key=key: jax.random.fold_in(key, number))(numbers)
            rolled = point_robot_pixels.roll_out(keys, jnp.full(_EPISODES_AT_ONCE, behavior), layout=variant.layout)
            wanted = int(np.searchsorted(np.cumsum(np.asarray(rolled.length)), each - steps)) + 1
            *rows, lengths, terminated = (np.asarray(leaf)[:wanted] for leaf in rolled)
            parts.append(from_episodes(task, *rows, lengths=lengths, terminated=terminated))
            steps, episodes = steps + int(lengths.sum()), episodes + len(lengths)
            if on_progress is not None:
                on_progress(min(behavior * each + steps, transitions), transitions)
        counts.append((name, episodes))
    seen = join(parts)  # as vectors: only the frames that are kept are drawn
    images = draw_poses(seen.observations, variant)
    return PixelEpisodes(replace(seen, observations=images), seen.observations, counts)


@pinned()
def draw_poses(poses: Float[np.ndarray, "n 4"], variant: Variant) -> UInt8[np.ndarray, "n size size 3"]:
    """Images of poses in a variant of PointRobotPixels.

    Args:
        poses: (x, y, v, theta), [n, 4].
        variant: Layout and size.

    Returns:
        RGB images, [n, size, size, 3].
    """
    return in_pieces(
        lambda rows, _: _drawn(jnp.asarray(poses[rows], jnp.float32), **variant._asdict()),
        count=len(poses),
        size=_IMAGES_AT_ONCE,
    )


_drawn = jax.jit(point_robot_pixels.draw, static_argnames=("layout", "size"))
