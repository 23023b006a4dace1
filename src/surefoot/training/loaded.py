"""A trained policy for users: NumPy arrays in and out, one observation or many."""

import math
import os
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self, cast

import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key
from numpy.typing import ArrayLike as Numbers

from surefoot import checkpoint
from surefoot.algorithms import algorithm_class
from surefoot.constraints.budgets import check_remaining
from surefoot.errors import CheckpointError, ConfigError, check_name
from surefoot.forks import inherited_jax, refuse_forked_child
from surefoot.hyperparameters import change, from_hyperparameters, renamed
from surefoot.nn import member
from surefoot.numerics import check_finite, enough_memory, pinned
from surefoot.protocols import Algorithm, HasFeasibleValue
from surefoot.ranges import NUMBER, SEED, check_count, check_number
from surefoot.safety.calibration import Calibration, read_calibration
from surefoot.training.acting import act_alone, act_from_memory, numbers_of
from surefoot.training.chunk import ACT_STREAM, seed_keys, state_template
from surefoot.training.observations import budget_of_each, checked_images, checked_numbers
from surefoot.training.policy_origin import Origin
from surefoot.training.run_config import RunConfig
from surefoot.training.run_directory import RunDirectory
from surefoot.training.session import ControlSession
from surefoot.types import ActionBounds

LARGEST_BATCH = 4096
"""Observations per call of the compiled functions; more are cut into batches, which bounds memory."""


class LoadedPolicy:
    """The policy of one seed of a run, with its feasible value. `load_policy` makes it; it does not change.

    `algorithm`, `state` (without seed axis), `config` and `path` of the run, `seed` and `step` (updates trained) may be
    read. Several threads may act with one policy. It can be pickled: the copy is loaded from the same checkpoint, with
    `CheckpointError` where that has changed. Spawn processes: one that was forked after JAX had started is refused.
    """

    @pinned()
    def __init__(
        self, algorithm: Algorithm, state: Any, *, config: RunConfig, seed: int, step: int, path: Path | None = None,
        origin: "Origin | None" = None,
    ) -> None:  # fmt: skip
        self.algorithm = algorithm
        self.state = state
        self.config = config
        self.seed = seed
        self.step = step
        self.path = path
        self._origin = origin
        self._key = numbers_of(seed_keys([seed], stream=ACT_STREAM)[0])
        self._leaves, structure = jax.tree.flatten(state)

        def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
            """Of the leaves: a call that takes a state's modules apart takes milliseconds for that alone."""
            return jax.jit(lambda leaves, *inputs: function(jax.tree.unflatten(structure, leaves), *inputs))

        self._act = compiled(partial(act_alone, algorithm, config.spec.observation_shape))
        self._step = compiled(partial(act_from_memory, algorithm, config.spec.observation_shape))
        has_value = isinstance(algorithm, HasFeasibleValue)
        self._value = compiled(algorithm.feasible_value) if has_value else None

    def __reduce__(self) -> tuple[Callable[..., "LoadedPolicy"], "Origin"]:
        """Pickled as the place it was loaded from. Raises `ConfigError` for a policy that was made of a state."""
        if self._origin is None:
            raise ConfigError(
                "policy: expected one that was loaded from a run's checkpoint, found one that was made of a state; "
                "only the first can go to another process."
            )
        return _load_again, self._origin

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    @pinned()
    def act(
        self,
        observation: ArrayLike,
        remaining_budget: Numbers | None = None,
        *,
        step: int = 0,
        key: Key[Array, ""] | None = None,
    ) -> Float[np.ndarray, "*n act"]:
        """Actions for one observation or many, without memory between calls; `session` keeps memory and budget.

        The noise depends on the key, the size of the batch and the place in it.

        Args:
            observation: One [obs] or many [n, obs]; images are uint8 [height, width, channels].
            remaining_budget: Cost that may still be caused, one number or [n], for a planner under budgets
                (`needs_budget`); inf: no limit, below 0: overspent.
            step: Environment steps of the episode so far, for such a planner.
            key: Random key; None: one derived from the run's seed, so that equal calls give equal actions.

        Returns:
            Actions in [-1, 1], [act] or [n, act].

        Raises:
            ConfigError: An observation or the budget cannot be used.
            OutputError: The networks overflow, on observations far from the data.
        """
        key = self._key if key is None else key
        check_count(step, "step", NUMBER)
        if not self.needs_budget:
            if remaining_budget is not None:
                raise ConfigError(
                    f"remaining_budget: algorithm '{self.config.algorithm}' plans under no budget; leave it out."
                )
            return self._in_batches(
                "action",
                observation,
                lambda rows, batch: self._act(self._leaves, rows, None, key, np.int32(batch)),
            )
        rows = self.checked(observation)
        left = budget_of_each(check_remaining(remaining_budget, name="remaining_budget"), rows)
        # The budget travels as one more column: both are cut and padded alike.
        return self._in_batches(
            "action",
            rows,
            lambda part, batch: self._act(self._leaves, part[:, :-1], part[:, -1], key, *map(np.int32, (batch, step))),
            beside=left,
        )

    def act_in_session(
        self, memory: Any, observation: Float[np.ndarray, "n obs"], left: Float[np.ndarray, " n"] | None,
        step: np.int32, key: Array, reward: Float[np.ndarray, " n"] | None = None,
        applied: Float[np.ndarray, "n act"] | None = None, within: ActionBounds | None = None,
    ) -> tuple[Any, Float[Array, "n act"]]:  # fmt: skip
        """One step of a `ControlSession`, compiled once for each number of environments.

        Args:
            memory: Memory of the policy, arrays [n, ...].
            left: Remaining budgets [n]; None: the algorithm takes none.
            reward: Rewards of the previous step [n]; None: not known.
            applied: Applied actions of the previous step [n, act]; None: as they were chosen.
            within: Bounds of the actions that are applied as they are [n, act]; None: all are.

        Returns:
            (memory after the step, actions [n, act]).
        """
        with enough_memory(f"a session of {len(observation)} environments", "begin sessions of fewer"):
            return self._step(self._leaves, memory, observation, left, step, key, reward, applied, within)

    def checked(self, observation: ArrayLike) -> np.ndarray:
        """Observations as float32 [*n, obs], images flat as uint8; `ConfigError` for another shape or numbers not
        finite."""
        if (shape := self.config.spec.image_shape) is not None:
            return checked_images(observation, shape)
        return checked_numbers(observation, self.config.spec.observation_dim, task_file=self.config.task_file)

    @property
    def checkpoint_sha256(self) -> str:
        """SHA-256 of the arrays of the policy's checkpoint; empty where it was not loaded."""
        return "" if self._origin is None else self._origin.sha256

    @property
    def needs_budget(self) -> bool:
        """Whether the policy plans under a budget that is given at run time."""
        return self.algorithm.inputs.budget

    def session(
        self, budget: Numbers | None = None, *, level: float | None = None, key: Key[Array, ""] | None = None
    ) -> ControlSession:
        """Begin a control loop, which keeps the budget, the policy's memory, and new noise at each step.

        Args:
            budget: Cost that an episode may cause, one number or one for each environment; None for a policy without
                budgets.
            level: Share of episodes that may exceed the budget, in (0, 1), for a margin by `surefoot calibrate`.
                Budgets for which it is not known to hold give a `UserWarning`.
            key: Random key; None: the run's own.

        Returns:
            A session of one environment, or of as many as `budget` has numbers.

        Raises:
            ConfigError: The budget cannot be used or is not one that the policy takes; or no calibration has `level`.
        """
        margins = None
        if level is not None:
            if self.path is None or not self.needs_budget:
                raise ConfigError(
                    f"level: expected a run with a planner under budgets, found '{self.config.algorithm}'."
                )
            check_number(level, "(0, 1)", "level")
            found = read_calibration(self.path, step=self.step, sha256=self.checkpoint_sha256)
            found.for_seed(self.seed, level)
            margins = partial(_margins, found, self.seed, level)
        return ControlSession(self, budget, key=self._key if key is None else key, margins=margins)

    @pinned()
    def feasible_value(self, observation: ArrayLike) -> Float[np.ndarray, "*n"]:
        """V_h of observations [obs] or [n, obs], in units of the constraint signal; > 0: violations are unavoidable.
        Raises `ConfigError` where the algorithm has no such value, or as `act`."""
        if (value := self._value) is None:
            raise ConfigError(f"algorithm '{self.config.algorithm}' has no feasible value.")
        return self._in_batches("feasible value", observation, lambda rows, _: value(self._leaves, rows))

    def finite(self, name: str, outputs: Any, rows: np.ndarray) -> np.ndarray:
        """Outputs of the networks as NumPy. Raises `OutputError` where a number is not finite.

        Args:
            name: Name of the outputs, for the message.
            outputs: Array.
            rows: Observations [n, obs], whose size the message tells.

        Returns:
            The outputs.
        """
        largest = float(np.abs(rows.astype(np.float64)).max(initial=0.0))
        return check_finite(
            name, outputs, f"the networks of seed {self.seed} overflow on observations with numbers up to {largest:.4g}"
        )

    def _in_batches(
        self, name: str, observation: ArrayLike, compute: Callable[[np.ndarray, int], Array],
        *, beside: np.ndarray | None = None,
    ) -> np.ndarray:  # fmt: skip
        """`compute(rows, batch number)` on batches padded to a power of two, so that few shapes are ever compiled.

        `beside` [n] becomes a last column; `name` is what is computed, for errors."""
        seen = rows = self.checked(observation)
        if beside is not None:
            rows = np.concatenate([rows, beside.reshape(*rows.shape[:-1], 1)], -1)
        batches = rows.reshape(-1, rows.shape[-1])
        results = []
        # No observation at all is computed as one, of zeros, to learn the result's shape.
        for number, first in enumerate(range(0, max(len(batches), 1), LARGEST_BATCH)):
            batch = batches[first : first + LARGEST_BATCH]
            padding = 2 ** math.ceil(math.log2(max(len(batch), 1))) - len(batch)
            padded = np.pad(batch, ((0, padding), (0, 0)))
            with enough_memory(f"a batch of {len(padded)} observations", "give fewer at once"):
                results.append(np.asarray(compute(padded, number))[: len(batch)])
        whole = np.concatenate(results)
        return self.finite(name, whole.reshape(rows.shape[:-1] + whole.shape[1:]), seen)


@pinned()
def load_policy(
    path: str | os.PathLike[str],
    *,
    seed: int | None = None,
    algorithms: Mapping[str, type[Any]] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> LoadedPolicy:
    """Load the policy of one seed from the latest checkpoint of a run.

    Args:
        path: Folder of the run.
        seed: Seed of the run; None: its first.
        algorithms: Name -> class; None: Surefoot's, and those of other packages' entry points.
        overrides: Hyper-parameters to act with in place of the run's, such as `cost_margin`.

    Returns:
        The policy.

    Raises:
        SurefootError: There is no such run, seed, algorithm or hyper-parameter, or no checkpoint that fits.
    """
    run = RunDirectory(Path(path))
    config = run.read_config()
    if algorithms is None:
        kind = algorithm_class(config.algorithm)
    else:
        kind = algorithms[check_name("algorithm", config.algorithm, algorithms)]
    latest = run.latest()
    if latest is None:
        raise CheckpointError(f"{run.path}: expected a checkpoint, found none; the run was stopped before its first.")
    return _load(run, config, latest, seed=seed, kind=kind, overrides=dict(overrides or {}))


def _load(
    run: RunDirectory, config: RunConfig, directory: Path, *, seed: int | None, kind: type[Any],
    overrides: dict[str, Any],
) -> LoadedPolicy:  # fmt: skip
    """The policy of a checkpoint."""
    seed = config.seeds[0] if seed is None else seed
    check_count(seed, f"{run.path}: seed", SEED)
    if seed not in config.seeds:
        raise ConfigError(f"{run.path}: seed: expected one of {list(config.seeds)}, found {seed}.")
    trained = from_hyperparameters(kind, config.hyperparameters, source=str(run.config_path))
    overrides = renamed(kind, overrides, warn=True)
    for name in overrides:
        check_name("hyper-parameter", name, config.hyperparameters)
    algorithm = change(trained, **overrides)
    template = state_template(algorithm, config.spec, config.seeds)
    sha256 = checkpoint.read_hash(directory)
    states, metadata = checkpoint.load(directory, template, expect=config.identity_of(directory))
    state = member(states, config.seeds.index(seed))
    origin = Origin(os.path.abspath(run.path), seed, directory.name, sha256, overrides, kind)
    return LoadedPolicy(
        algorithm,
        state,
        config=config,
        seed=seed,
        step=checkpoint.step_of(directory, metadata),
        path=run.path,
        origin=origin,
    )


class _ForkedPolicy:
    """Stand-in for a policy in a process where JAX would wait for ever; it fails as a task uses it."""

    def __getattr__(self, name: str) -> Any:
        refuse_forked_child()
        raise AttributeError(name)


def _load_again(
    path: str, seed: int, name: str, sha256: str, overrides: dict[str, Any], kind: type[Any]
) -> LoadedPolicy:
    """An equal policy in another process. Raises `CheckpointError` where the checkpoint of its `Origin` has changed."""
    if inherited_jax(os.getpid()):
        return cast(LoadedPolicy, _ForkedPolicy())
    run = RunDirectory(Path(path))
    directory = run.checkpoints_path / name
    if not directory.exists():
        raise CheckpointError(
            f"{directory}: expected the checkpoint of the policy that came from another process, found none; training "
            f"has gone on or the run was moved since."
        )
    if (found := checkpoint.read_hash(directory)) != sha256:
        raise CheckpointError(
            f"{directory}: expected the checkpoint of the policy that came from another process, sha256 "
            f"{sha256[:16]}..., found {found[:16]}...; it was changed since."
        )
    with pinned():
        return _load(run, run.read_config(), directory, seed=seed, kind=kind, overrides=overrides)


def _margins(found: Calibration, seed: int, level: float, totals: Float[np.ndarray, "n t"]) -> np.ndarray:
    """Calibrated margins of the run; warns where the level is not known to hold."""
    doubt = found.doubt([seed], level, totals)
    if doubt is not None:
        warnings.warn(doubt, stacklevel=5)
    return found.margins(seed, level, totals)
