"""Conformance checks: properties of an algorithm that training, checkpoints and rollouts rely on.

Each check raises `AssertionError` with a sentence on the property that does not hold.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surefoot import checkpoint
from surefoot.algorithms.fisor.returns import Triple
from surefoot.data import Dataset
from surefoot.protocols import Algorithm, HasFeasibleValue, WeighsRows, relabel_interval
from surefoot.tasks import CostLimit, Task
from surefoot.training import RunDirectory, fit, from_hyperparameters, hyperparameters, make_config
from surefoot.types import DataSpec, Labeled, PolicyInputs, Transition

SPEC = DataSpec(observation_dim=5, action_dim=2, horizon=10)
"""Shapes of the data that the checks give to an algorithm."""
TASK = Task("Noise", 5, 2, 10, return_min=0.0, return_max=1.0, constraints=(CostLimit(0.0),))
"""Task of that data."""
CHUNK = 5
"""Updates between two rows of metrics, and between two checkpoints."""


def make_data(rows: int = 64) -> Transition:
    """Random transitions in realistic ranges: actions in [-1, 1], flags 0 or 1, h of both signs."""
    rng = np.random.default_rng(0)
    flag = lambda share: (rng.random(rows) < share).astype(np.float32)  # noqa: E731
    h = rng.normal(-0.3, 0.5, rows).astype(np.float32)
    columns: dict[str, Any] = {
        "observation": rng.normal(size=(rows, SPEC.observation_dim)).astype(np.float32),
        "action": rng.uniform(-1, 1, (rows, SPEC.action_dim)).astype(np.float32),
        "reward": rng.normal(size=rows).astype(np.float32),
        "cost": (h > 0).astype(np.float32),
        "next_observation": rng.normal(size=(rows, SPEC.observation_dim)).astype(np.float32),
        "terminated": flag(0.1),
        "truncated": flag(0.1),
        "constraint": h,
        "constraint_before": rng.normal(-0.3, 0.5, rows).astype(np.float32),
        "constraint_ahead": h + rng.exponential(0.5, rows).astype(np.float32),
        "episode_violations": flag(0.5),
        "episode_cost": flag(0.5),
    }
    return Transition(**columns)


DATA = make_data()
"""Transitions that the checks train on."""


def dataset() -> Dataset:
    """The transitions of the checks as eight episodes."""
    rows = DATA.reward.shape[0]
    terminated, truncated = np.zeros(rows, bool), np.zeros(rows, bool)
    terminated[7::16] = truncated[15::16] = True
    named = (DATA.observation, DATA.action, DATA.reward, DATA.cost, DATA.next_observation)
    arrays = [np.asarray(values) for values in named]
    return Dataset("Noise", *arrays, terminated=terminated, truncated=truncated)


def data_of(algorithm: Algorithm) -> Any:
    """Data of the checks as the algorithm trains on them: transitions, or windows of the eight episodes."""
    return algorithm.prepare(dataset(), TASK) if algorithm.inputs.in_memory else DATA


def bits(tree: Any) -> list[bytes]:
    """Bytes of every array of a tree."""
    return [np.asarray(_as_numbers(leaf)).tobytes() for leaf in jax.tree.leaves(tree)]


def _as_numbers(leaf: Any) -> Any:
    is_key = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if is_key else leaf


def batch_of(algorithm: Algorithm, phase: Any, start: int = 0) -> Any:
    """Batch of consecutive rows of the data, from row `start` on and around its end.

    Args:
        algorithm: Algorithm.
        phase: Phase whose batch size and labels count.
        start: First row.

    Returns:
        Batch [batch_size, ...], `Labeled` where the phase has labels.
    """
    data = data_of(algorithm)
    index = (start + np.arange(phase.batch_size)) % data.num_rows
    batch = data.take(jnp.asarray(index))
    if relabel_interval(algorithm, phase.name):
        batch = Labeled(batch, Triple(*[jnp.linspace(-1.0, 1.0, phase.batch_size)] * 3))
    return batch


@dataclass(frozen=True)
class Case:
    """An algorithm with its compiled functions: init, an update for each phase, acting."""

    algorithm: Algorithm
    init: Callable[..., Any]
    updates: dict[str, Callable[..., Any]]
    act: Callable[..., Any]
    state: Any

    def trained(self, *, start: int = 0) -> Any:
        """State after one update of every phase; `start` picks other data and noise."""
        state = self.state
        for number, phase in enumerate(self.algorithm.phases):
            state, _ = self.updates[phase.name](
                state, batch_of(self.algorithm, phase, start), jax.random.key(start + number)
            )
        return state


def build_case(algorithm: Algorithm) -> Case:
    """Compile an algorithm's functions."""

    def act(state: Any, observation: Any, key: Any) -> Any:
        policy, count = algorithm.policy(state), observation.shape[0]
        budget = jnp.linspace(-1.0, 5.0, count) if algorithm.inputs.budget else None
        return policy.act(policy.initial(count), PolicyInputs(observation, budget), key)[1]

    init = jax.jit(lambda key: algorithm.init(SPEC, key))
    update = jax.jit(algorithm.update, static_argnames="phase")
    updates = {phase.name: partial(update, phase=phase.name) for phase in algorithm.phases}
    return Case(algorithm, init, updates, jax.jit(act), init(jax.random.key(1)))


def with_few_updates(config: Any, updates: int = CHUNK) -> Any:
    """Algorithm with short phases: fields named `updates` or `..._updates` are lowered, in nested configurations, too.

    Args:
        config: Algorithm, or a configuration in it.
        updates: Largest number of updates.

    Returns:
        Copy with lowered fields.
    """
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = vars(config)[field.name]
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            changes[field.name] = with_few_updates(value, updates)
        elif (field.name == "updates" or field.name.endswith("_updates")) and isinstance(value, int):
            changes[field.name] = min(value, updates)
    return dataclasses.replace(config, **changes)


# --- checks of one update --------------------------------------------------------------------------------------------


def check_configuration(algorithm: Algorithm) -> None:
    """Check that hyper-parameters are hashable and survive JSON."""
    again = from_hyperparameters(type(algorithm), hyperparameters(algorithm), source="test")
    assert again == algorithm, "hyper-parameters read from JSON are others"
    assert hash(again) == hash(algorithm), "equal algorithms have different hashes"


def check_init(case: Case) -> None:
    """Check that the initial state depends on the key alone."""
    assert bits(case.init(jax.random.key(1))) == bits(case.state), "one key gives two first states"
    assert bits(case.init(jax.random.key(2))) != bits(case.state), "two keys give one first state"


def check_update(case: Case, phase: Any) -> set[str]:
    """Check that an update has finite scalar metrics and keeps the state's structure, shapes and types.

    Args:
        case: Compiled algorithm.
        phase: Phase of the update.

    Returns:
        Names of the state's parts that the update changed.
    """
    after, metrics = case.updates[phase.name](case.state, batch_of(case.algorithm, phase), jax.random.key(3))
    assert metrics, f"{phase.name}: no metrics"
    for name, value in metrics.items():
        assert value.shape == (), f"{phase.name}: metric {name} has the shape {value.shape}"
        assert np.isfinite(value), f"{phase.name}: metric {name} is {value}"
    assert jax.tree.structure(after) == jax.tree.structure(case.state), f"{phase.name}: the state's tree changed"
    kinds = lambda tree: [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(tree)]  # noqa: E731
    assert kinds(after) == kinds(case.state), f"{phase.name}: shapes or types of the state changed"
    before, moved = case.state._asdict(), after._asdict()
    changed = {name for name in before if bits(before[name]) != bits(moved[name])}
    assert changed, f"{phase.name}: an update changes nothing"
    return changed


def check_updates_are_pure(case: Case) -> None:
    """Check that an update is a function of state, batch and key."""
    assert bits(case.trained(start=5)) == bits(case.trained(start=5)), "the same updates end in two states"
    assert bits(case.trained(start=5)) != bits(case.trained(start=6)), "other data and noise end in the same state"


def check_sample_weights(case: Case) -> set[str]:
    """Check that weights are finite, at least 0 and one a row, or None. Returns the names of phases with weights."""
    data = jax.tree.map(jnp.asarray, data_of(case.algorithm))
    weighted = set()
    if not isinstance(case.algorithm, WeighsRows):
        return weighted
    weigh = jax.jit(case.algorithm.sample_weights, static_argnames="phase")
    for phase in case.algorithm.phases:
        weights = weigh(case.state, data, phase=phase.name)
        if weights is None:
            continue
        weighted.add(phase.name)
        assert weights.shape == (data.num_rows,), f"{phase.name}: weights have the shape {weights.shape}"
        assert np.isfinite(weights).all(), f"{phase.name}: weights are not finite"
        assert (np.asarray(weights) >= 0).all(), f"{phase.name}: weights are negative"
        assert np.asarray(weights).any(), f"{phase.name}: all weights are 0"
    return weighted


def check_actions(case: Case, count: int) -> None:
    """Check that actions have their shape and range, and are a function of state, observation and key.

    Args:
        case: Compiled algorithm.
        count: Number of observations.
    """
    observation = 3.0 * jax.random.normal(jax.random.key(7), (count, SPEC.observation_dim))
    action = case.act(case.state, observation, jax.random.key(8))
    assert action.shape == (count, SPEC.action_dim), f"actions have the shape {action.shape}"
    assert (np.abs(action) <= 1).all(), "actions leave [-1, 1]"
    assert bits(action) == bits(case.act(case.state, observation, jax.random.key(8))), "one key gives two actions"


def check_feasible_value(case: Case) -> None:
    """Check that V_h is one finite number an observation, where the algorithm has it."""
    if not isinstance(case.algorithm, HasFeasibleValue):
        return
    value = case.algorithm.feasible_value(case.state, jnp.asarray(DATA.observation[:5]))
    assert value.shape == (5,), f"feasible values have the shape {value.shape}"
    assert np.isfinite(value).all(), "feasible values are not finite"


def check_checkpoint(case: Case, path: Path) -> None:
    """Check that a saved and loaded state continues identically.

    Args:
        case: Compiled algorithm.
        path: Folder for the checkpoint.
    """
    trained = case.trained()
    checkpoint.save(path, trained, {})
    loaded, _ = checkpoint.load(path, jax.eval_shape(lambda: trained))
    assert bits(loaded) == bits(trained), "a loaded state is another one"
    phase = case.algorithm.phases[-1]
    update = case.updates[phase.name]
    batch, key = batch_of(case.algorithm, phase, 9), jax.random.key(9)
    assert bits(update(loaded, batch, key)) == bits(update(trained, batch, key)), "a loaded state learns another way"


# --- checks of training ----------------------------------------------------------------------------------------------


def train(algorithm: Algorithm, seeds: tuple[int, ...], path: Path | None = None, *, stop_at: int | None = None) -> Any:
    """Train an algorithm on the data of the checks, in chunks of `CHUNK` updates.

    Args:
        algorithm: Algorithm.
        seeds: Training seeds.
        path: Folder of the run; None: nothing is written.
        stop_at: Update at whose chunk's end training stops; None: the last.

    Returns:
        States with a leading seed axis.
    """
    run = None
    if path is not None:
        run = RunDirectory(path)
        config = make_config(
            algorithm, name="tested", task="Noise", spec=SPEC, seeds=seeds, data_path="none", data_fingerprint="abc",
            log_interval=CHUNK, checkpoint_interval=CHUNK,
        )  # fmt: skip
        run.start(config, resume=True)
    return fit(
        algorithm,
        data_of(algorithm),
        spec=SPEC,
        seeds=seeds,
        log_interval=CHUNK,
        checkpoint_interval=CHUNK,
        run=run,
        stop_at=stop_at,
    )


def check_resuming(algorithm: Algorithm, unstopped: Any, seeds: tuple[int, ...], path: Path, *, stop_at: int) -> None:
    """Check that interrupted and resumed training ends with the bits of uninterrupted training.

    Args:
        algorithm: Algorithm.
        unstopped: States after uninterrupted training.
        seeds: Training seeds.
        path: Folder for the run.
        stop_at: Update at whose chunk's end training is interrupted.
    """
    first = train(algorithm, seeds, path, stop_at=stop_at)
    assert bits(first) != bits(unstopped), f"nothing is learned after {stop_at} updates"
    assert bits(train(algorithm, seeds, path)) == bits(unstopped), "a resumed training ends with other bits"


def check_seeds(algorithm: Algorithm, together: Any, seeds: tuple[int, int]) -> None:
    """Check that seeds trained together learn what each learns alone, and that they differ.

    Args:
        algorithm: Algorithm.
        together: States of both seeds, trained together.
        seeds: The two training seeds.
    """
    alone = train(algorithm, seeds[1:])
    for ours, theirs in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(_as_numbers(ours)[1], _as_numbers(theirs)[0], rtol=1e-5, atol=1e-5)
        assert np.isfinite(_as_numbers(ours)).all(), "a state is not finite"
    first, second = (jax.tree.map(lambda leaf: leaf[index], together) for index in (0, 1))  # noqa: B023
    assert bits(first) != bits(second), "two seeds learn the same"
