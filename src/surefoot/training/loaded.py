"""A trained policy as a user holds it: NumPy in, NumPy out, one observation or many."""

import math
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from surefoot import checkpoint
from surefoot.algorithms import ALGORITHMS
from surefoot.errors import CheckpointError, ConfigError, check_name
from surefoot.training.algorithm import Algorithm, from_hyperparameters
from surefoot.training.chunk import ACT_STREAM, seed_keys, state_template
from surefoot.training.run_directory import RunConfig, RunDirectory
from surefoot.types import PolicyInputs

LARGEST_BATCH = 4096
"""Observations per call of the compiled functions; more are cut into batches, which bounds memory."""


class LoadedPolicy:
    """The policy of one seed of a run, and what its values say of safety. Made by `load_policy`; does not change.

    `algorithm`, `state` (without seed axis), `config` of the run, `seed` and `step` (updates trained) may be read.
    """

    def __init__(self, algorithm: Algorithm, state: Any, *, config: RunConfig, seed: int, step: int) -> None:
        self.algorithm = algorithm
        self.state = state
        self.config = config
        self.seed = seed
        self.step = step
        self._key = seed_keys([seed], stream=ACT_STREAM)[0]
        self._act = jax.jit(partial(_act, algorithm))
        self._value = jax.jit(partial(_feasible_value, algorithm))

    def act(self, observation: ArrayLike, *, key: Key[Array, ""] | None = None) -> Float[np.ndarray, "*n act"]:
        """The action [act] for one observation [obs], or the actions [n, act] for many [n, obs], each in [-1, 1].

        Without `key` a fixed one derived from the run's seed is used: the same call gives the same actions, whatever
        was called before. Give a new key at each step for fresh randomness. The noise depends on the key, the size of
        the batch and the place in it. Raises `ConfigError` for an observation of the wrong length or not finite.
        """
        key = self._key if key is None else key
        return self._in_batches(
            observation, lambda rows, batch: self._act(self.state, rows, jax.random.fold_in(key, batch))
        )

    def feasible_value(self, observation: ArrayLike) -> Float[np.ndarray, "*n"]:
        """The feasible value for one observation [obs], a number, or for many [n, obs], [n]; > 0: no safe way out.

        In the units of the task's constraint signal. Raises `ConfigError` where the algorithm has no such value, and
        for an observation of the wrong length or not finite.
        """
        if not hasattr(self.algorithm, "feasible_value"):
            raise ConfigError(f"algorithm '{self.config.algorithm}' has no feasible value.")
        return self._in_batches(observation, lambda rows, _: self._value(self.state, rows))

    def _in_batches(self, observation: ArrayLike, compute: Callable[[np.ndarray, int], Array]) -> np.ndarray:
        """`compute(rows, batch number)` on batches padded to a power of two, so that few shapes are ever compiled."""
        rows = _checked(observation, self.config.spec.observation_dim)
        batches = rows.reshape(-1, rows.shape[-1])
        results = []
        # No observation at all is computed as one, of zeros, to learn the result's shape.
        for number, first in enumerate(range(0, max(len(batches), 1), LARGEST_BATCH)):
            batch = batches[first : first + LARGEST_BATCH]
            padding = 2 ** math.ceil(math.log2(max(len(batch), 1))) - len(batch)
            padded = np.pad(batch, ((0, padding), (0, 0)))
            results.append(np.asarray(compute(padded, number))[: len(batch)])
        whole = np.concatenate(results)
        return whole.reshape(rows.shape[:-1] + whole.shape[1:])


def load_policy(
    path: str | os.PathLike[str], *, seed: int | None = None, algorithms: Mapping[str, type[Any]] = ALGORITHMS
) -> LoadedPolicy:
    """The policy in the latest checkpoint of the run directory `path`, of `seed` or of the run's first.

    Raises `ConfigError` where there is no such run or seed, `CheckpointError` where it has no checkpoint that fits,
    `UnknownNameError` where its algorithm is not in the table `algorithms`.
    """
    run = RunDirectory(Path(path))
    config = run.read_config()
    seed = config.seeds[0] if seed is None else seed
    if seed not in config.seeds:
        raise ConfigError(f"{run.path}: seed: expected one of {list(config.seeds)}, found {seed}.")
    kind = algorithms[check_name("algorithm", config.algorithm, algorithms)]
    algorithm = from_hyperparameters(kind, config.hyperparameters, source=str(run.config_path))
    latest = run.latest()
    if latest is None:
        raise CheckpointError(f"{run.path}: expected a checkpoint, found none; the run was stopped before its first.")
    template = state_template(algorithm, config.spec, config.seeds)
    states, metadata = checkpoint.load(latest, template, expect=config.identity)
    place = config.seeds.index(seed)
    state = jax.tree.map(lambda leaf: leaf[place], states)
    return LoadedPolicy(algorithm, state, config=config, seed=seed, step=metadata["step"])


def _act(algorithm: Algorithm, state: Any, observations: Float[Array, "n obs"], key: Key[Array, ""]) -> Array:
    policy = algorithm.policy(state)
    _, action = policy.act(policy.initial(observations.shape[0]), PolicyInputs(observations), key)
    return action


def _feasible_value(algorithm: Any, state: Any, observations: Float[Array, "n obs"]) -> Array:
    return algorithm.feasible_value(state, observations)


def _checked(observation: ArrayLike, width: int) -> Float[np.ndarray, "*n obs"]:
    """As float32; `ConfigError` where it is not one observation or a list of them, all finite."""
    try:
        rows = np.asarray(observation, np.float32)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"observation: expected numbers of shape [{width}] or [n, {width}], found others.") from error
    if rows.ndim not in (1, 2) or rows.shape[-1] != width:
        raise ConfigError(f"observation: expected shape [{width}] or [n, {width}], found {list(rows.shape)}.")
    finite = np.isfinite(rows)
    if not finite.all():
        place = np.argwhere(~finite)[0]
        raise ConfigError(f"observation: expected finite numbers, found {rows[tuple(place)]} at {place.tolist()}.")
    return rows
