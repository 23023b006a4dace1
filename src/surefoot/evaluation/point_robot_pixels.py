"""PointRobotPixels against the exact feasible set: episodes from chosen starts, and p against V*."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from surefoot.data.frames import Frames
from surefoot.envs import point_robot_pixels
from surefoot.envs.point_robot import constraint
from surefoot.envs.point_robot_pixels import VARIANTS, Variant
from surefoot.evaluation.collect import PixelEpisodes, collect_point_robot_pixels, draw_poses
from surefoot.evaluation.images import FirstStates, by_episode, infeasibility_along
from surefoot.evaluation.metrics import area_under_curve
from surefoot.evaluation.pieces import in_pieces
from surefoot.evaluation.starts import draw_starts
from surefoot.numerics import check_finite, pinned
from surefoot.protocols import HasInfeasibility
from surefoot.rollouts import scan
from surefoot.safety.exact import TOP_SPEED, ExactSet, cell_centers, slice_poses, solve_point_robot
from surefoot.safety.region import SLICES, score_seeds

HELD_OUT_SEED, HELD_OUT_STEPS = 20_240, 6_000
"""Seed and steps of the episodes that p is scored on: the data's behaviors, with a seed that no data should have."""
RESOLUTION, EXTENT = 61, 2.7
"""Cells along each side of a region slice, and half its side in meters."""
_IMAGES_AT_ONCE = 512


def exact_set(task: str) -> ExactSet:
    """The exact feasible set (V*) in the layout of a variant of the task."""
    return solve_point_robot(hazards=VARIANTS[task].layout.centers)


@pinned()
def first_states(task: str, exact: ExactSet, *, feasible: int, infeasible: int) -> FirstStates:
    """Starts drawn as in PointRobot's evaluation, by the exact set of the task's layout.

    Args:
        task: Name of the variant.
        exact: Exact feasible set.
        feasible: Feasible starts.
        infeasible: Infeasible starts.

    Returns:
        First states and their start sets.
    """
    variant = VARIANTS[task]
    starts = draw_starts(exact.value, feasible=feasible, infeasible=infeasible, hazards=variant.layout.centers)
    count = feasible + infeasible  # without the fixed starts, which are PointRobot's
    poses = jnp.asarray(starts.poses[:count])
    return FirstStates(scan.First(*point_robot_pixels.reset_to(poses, **variant._asdict())), starts.sets[:count])


def held_out(task: str) -> PixelEpisodes:
    """New episodes of the data's behaviors in the task's layout."""
    return collect_point_robot_pixels(transitions=HELD_OUT_STEPS, seed=HELD_OUT_SEED, task=task)


@pinned()
def score_against_exact(
    algorithm: HasInfeasibility, state: Any, episodes: PixelEpisodes, exact: ExactSet
) -> dict[str, Any]:
    """Area under the ROC curve of p for V* > 0.

    Frames beyond the exact set's speeds do not count.

    Args:
        algorithm: Algorithm with an infeasibility.
        state: Training state of one seed.
        episodes: Episodes with their poses.
        exact: Exact feasible set.

    Returns:
        Areas over all frames, over those outside hazards, and over first frames, which the model sees without a past;
        also the number of states and the share of infeasible ones.
    """
    sequences = by_episode(episodes.frames)
    p = infeasibility_along(algorithm, state, sequences)[sequences.there]
    known = np.abs(episodes.poses[:, 2]) <= TOP_SPEED
    value = np.zeros(len(p), np.float32)
    value[known] = exact.value(episodes.poses[known])
    outside = known & (hazard_signal(episodes.poses, exact) <= 0)
    first = known & episodes.frames.is_first
    return {
        "auroc": area_under_curve(p[known], value[known] > 0),
        "auroc_outside_hazards": area_under_curve(p[outside], value[outside] > 0),
        "auroc_first_frames": area_under_curve(p[first], value[first] > 0),
        "states": int(known.sum()),
        "infeasible_share": float((value[known] > 0).mean()),
    }


def hazard_signal(poses: Float[np.ndarray, "n 4"], exact: ExactSet) -> Float[np.ndarray, " n"]:
    """h at poses, in the exact set's layout.

    Args:
        poses: (x, y, v, theta), [n, 4].
        exact: Exact feasible set, with its hazards.

    Returns:
        h in meters, [n].
    """
    return np.asarray(constraint(jnp.asarray(poses[:, :2]), exact.hazards))


class PixelRegion(NamedTuple):
    """p - 1/2 of each seed and V* over positions on the published slices."""

    learned: Float[np.ndarray, "slice seed y x"]
    """p - 1/2; > 0 is infeasible."""
    exact: Float[np.ndarray, "slice y x"]
    """Metres; > 0 is infeasible."""
    scores: dict[str, list[float]]
    """Means over the seeds, a list over slices for each score."""


@pinned()
def measure_region(algorithm: HasInfeasibility, states: list[Any], task: str, exact: ExactSet) -> PixelRegion:
    """p of single images, without a past, over positions at three speeds and headings.

    Args:
        algorithm: Algorithm with an infeasibility.
        states: Training states, one a seed.
        task: Name of the variant.
        exact: Exact feasible set.

    Returns:
        Learned and exact regions, and scores.
    """
    variant = VARIANTS[task]
    poses = [slice_poses(*one, resolution=RESOLUTION, extent=EXTENT) for one in SLICES]
    values = np.stack([exact.value(part) for part in poses])
    learned = np.stack([[_single(algorithm, state, part, variant) - 0.5 for state in states] for part in poses])
    means = {name: np.mean(numbers, axis=0).tolist() for name, numbers in score_seeds(learned, values).items()}
    grid = (RESOLUTION, RESOLUTION)
    return PixelRegion(learned.reshape(*learned.shape[:2], *grid), values.reshape(len(SLICES), *grid), means)


def region_arrays(region: PixelRegion, exact: ExactSet) -> dict[str, np.ndarray]:
    """Arrays of the maps of p, which an evaluation keeps beside those of `image_pictures.picture_arrays`.

    Args:
        region: Learned and exact values on a grid.
        exact: The exact set, for the hazards' places.

    Returns:
        Arrays by name.
    """
    return {
        "region_learned": region.learned.astype(np.float16),
        "region_exact": region.exact.astype(np.float16),
        "region_axis": cell_centers(RESOLUTION, EXTENT),
        "hazards": exact.hazards,
    }


def _single(
    algorithm: HasInfeasibility, state: Any, poses: Float[np.ndarray, "n 4"], variant: Variant
) -> Float[np.ndarray, " n"]:
    """p of the image at each pose."""
    images = draw_poses(poses, variant)
    found = in_pieces(
        lambda rows, first: _infeasibility_of_images(algorithm, state, images[rows], jax.random.key(first)),
        count=len(poses),
        size=_IMAGES_AT_ONCE,
    )
    return check_finite("infeasibility (image)", found, "the model's networks overflow on these images")


@partial(jax.jit, static_argnames="algorithm")
def _infeasibility_of_images(algorithm: HasInfeasibility, state: Any, images: Array, key: Array) -> Float[Array, " n"]:
    count = images.shape[0]
    none, yes = jnp.zeros((count, 1)), jnp.ones((count, 1), bool)
    frames = Frames(images[:, None], jnp.zeros((count, 1, 2)), none, none, yes, ~yes)
    return algorithm.window_infeasibility(state, frames, key)[:, 0]
