"""Split a dataset's episodes into those to learn from and those that are kept aside to judge what was learned."""

import numpy as np
from jaxtyping import Int

from surefoot.data.dataset import Dataset
from surefoot.errors import ConfigError
from surefoot.ranges import SEED, check_count, check_number


def held_out_episodes(dataset: Dataset, *, share: float, seed: int) -> Int[np.ndarray, " H"]:
    """Numbers of the complete episodes to keep aside, ascending: a random share of those without a violation and of
    those with one.

    Of each kind at least one is kept aside and one left, where there are two. With one seed a smaller share is part of
    a larger one. Raises `ConfigError` where no episode would be kept aside or left.
    """
    check_number(share, "(0, 1)", "held_out: share")
    check_count(seed, "seed", SEED)
    violating = dataset.violating_steps > 0
    random = np.random.default_rng(seed)
    chosen: list[np.ndarray] = []
    for kind in (~violating, violating):
        episodes = random.permutation(np.flatnonzero(kind))
        wanted = max(1, round(share * len(episodes)))
        chosen.append(episodes[: min(wanted, len(episodes) - 1)] if len(episodes) > 1 else episodes[:0])
    found = np.sort(np.concatenate(chosen))
    if not len(found):
        raise ConfigError(
            f"held_out: expected at least two episodes with a violation or two without, found {len(violating)} in all."
        )
    return found


def other_episodes(dataset: Dataset, episodes: Int[np.ndarray, " H"]) -> Int[np.ndarray, " T"]:
    """Numbers of the complete episodes that are not among `episodes`, ascending."""
    return np.setdiff1d(np.arange(len(dataset.lengths)), episodes)
