"""Rate limits of a task file: a policy that remembers its actions remembers those that the plant applied."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.corridor import HORIZON, Walker, corridor
from tests.data_fixtures import BINARY_TASK
from tests.plant_task import plant

from surefoot import presets
from surefoot.algorithms.one_step_flow import StudentConfig
from surefoot.audit.actions import estimated_values
from surefoot.audit.episodes import AuditedEpisodes, ConstraintSteps, Part
from surefoot.diffusion.policy import DiffusionPolicyConfig
from surefoot.envs.workers.vector import VectorSimulator
from surefoot.evaluation.simulated import roll_out_simulator
from surefoot.hyperparameters import change
from surefoot.nn import DenoiserConfig, VAEConfig
from surefoot.protocols import Inputs
from surefoot.rollouts.stream import OnlineSimulator, roll_out_envs
from surefoot.tasks import Task
from surefoot.tasks.action_units import ActionUnits, AppliedActions
from surefoot.training import LoadedPolicy, make_config
from surefoot.types import ActionBounds, Policy, PolicyInputs

HEARD = [0.0, 1.0, 0.2, -0.6, -1.0]
"""Before each step of 1, -1, -1, -1: a valve of 10 at once, then of 6, 2 and 0, at most 4 less a step."""
WITHIN = [[-1.0, 1.0], [0.2, 1.0], [-0.6, 1.0], [-1.0, 0.2], [-1.0, -0.2]]
"""What the plant applies as it is at each of these steps: 0.8 to either side of what it applied before."""


TINY = DenoiserConfig(width=8, blocks=1, expansion=1, frequencies=2, time_width=4)


@dataclass(frozen=True)
class Echo:
    """Acts 1 at first, then -1, and remembers what it hears was applied, and the bounds of what will be."""

    inputs: ClassVar[Inputs] = Inputs()

    def policy(self, state: Any) -> Policy:
        def act(memory: Any, inputs: PolicyInputs, key: Any) -> tuple[Any, Any]:
            assert inputs.applied is not None
            assert inputs.within is not None
            heard = jnp.concatenate([inputs.applied, *inputs.within], -1)
            return heard, jnp.where(inputs.step == 0, 1.0, -1.0)[:, None]

        return Policy(lambda n: jnp.zeros((n, 3)), act, keyed=True)


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return plant(tmp_path)


def test_applied_actions_are_limited_within_an_episode() -> None:
    units = ActionUnits(np.array([0.0]), np.array([10.0]), np.array([4.0]))
    applied = AppliedActions(units, 2)
    np.testing.assert_array_equal(applied.normalized, [[0.0], [0.0]])
    # Valves 10 and 5; then 0 and 10, which are 6 and 9; then 0, where an episode begins, and 5.
    for chosen, first, expected in (
        ([1.0, 0.0], [True, True], [1.0, 0.0]),
        ([-1.0, 1.0], [False, False], [0.2, 0.8]),
        ([-1.0, -1.0], [True, False], [-1.0, 0.0]),
    ):
        found = applied.take(np.array(chosen)[:, None], np.array(first))
        np.testing.assert_allclose(found[:, 0], expected, atol=1e-7)
        np.testing.assert_array_equal(applied.normalized, found)


def test_units_have_rates_where_the_task_file_says_so(task: Task) -> None:
    units = ActionUnits.with_rates(task.file)
    assert units is not None
    assert units.rate_limit.tolist() == [4.0]
    assert ActionUnits.with_rates(None) is None


def test_an_evaluation_tells_what_was_applied(task: Task) -> None:
    heard = []
    with VectorSimulator(task, num_envs=1, workers=0) as env:
        roll_out_simulator(
            Echo(), jnp.zeros(1), env, seeds=(0,), episodes=1, units=ActionUnits.with_rates(task.file),
            on_step=lambda memory, *_: heard.append(np.asarray(memory[0, 0])),
        )  # fmt: skip
    np.testing.assert_allclose([one[0] for one in heard[:5]], HEARD, atol=1e-6)
    np.testing.assert_allclose([one[1:] for one in heard[:5]], WITHIN, atol=1e-6)


def test_fine_tuning_tells_what_was_applied(task: Task) -> None:
    with VectorSimulator(task, num_envs=1, workers=0) as env:
        where = OnlineSimulator(env, (3,), horizon=5, units=ActionUnits.with_rates(task.file))
        stream = roll_out_envs(Echo(), None, where, jax.random.key(0), jax.random.key(1))
    np.testing.assert_allclose(stream.action[0, :4, 0], HEARD[1:], atol=1e-6)
    np.testing.assert_allclose(stream.memory, [[HEARD[4], *WITHIN[4]]], atol=1e-6)


def test_a_session_tells_what_was_applied(task: Task) -> None:
    echo: Any = Echo()
    config = make_config(
        echo, name="echo", task=task, seeds=(0,), data_path="", data_fingerprint="", log_interval=1,
        checkpoint_interval=1,
    )  # fmt: skip
    session = LoadedPolicy(echo, jnp.zeros(1), config=config, seed=0, step=0).session()
    session.warm_up()
    valves, heard = [], []
    for _ in range(5):
        valves.append(float(session.act(np.zeros(3, np.float32))[0]))
        heard.append(np.asarray(session._memory[0]))
    assert valves == [10, 6, 2, 0, 0]  # in the plant's units
    np.testing.assert_allclose([one[0] for one in heard], HEARD, atol=1e-6)
    np.testing.assert_allclose([one[1:] for one in heard], WITHIN, atol=1e-6)


@pytest.mark.parametrize("name", ["fisor", "one_step_flow", "bcq_lag"])
def test_candidates_are_judged_as_they_would_be_applied(name: str) -> None:
    """Where nothing but 0.25 can be applied, every candidate is 0.25."""
    tiny: dict[str, dict[str, Any]] = {
        "fisor": {"value_hidden": (4,), "diffusion": DiffusionPolicyConfig(TINY)},
        "one_step_flow": {"value_hidden": (4,), "student": StudentConfig(hidden=(4,))},
        "bcq_lag": {"hidden": (4,), "vae": VAEConfig(hidden=4)},
    }
    algorithm = change(presets.build(name, BINARY_TASK), num_candidates=2, **tiny[name])
    state = jax.jit(lambda key: algorithm.init(BINARY_TASK.spec, key))(jax.random.key(0))
    policy, seen = algorithm.policy(state), jnp.ones((3, BINARY_TASK.observation_dim))
    only = jnp.full((3, BINARY_TASK.action_dim), 0.25)
    inputs = PolicyInputs(seen, within=ActionBounds(only, only))
    _, action = jax.jit(lambda inputs: policy.act(policy.initial(3), inputs, jax.random.key(1)))(inputs)
    np.testing.assert_array_equal(action, only)
    _, free = policy.act(policy.initial(3), PolicyInputs(seen), jax.random.key(1))
    assert (free != only).any()


class Stopper(Walker):
    """Drives forward up to x = 0.85, and back beyond it."""

    def policy(self, state: Any) -> Policy:
        def act(carry: Any, inputs: PolicyInputs, key: Any) -> tuple[Any, Any]:
            return carry, jnp.where(inputs.observation[:, :1] < 0.85, 1.0, -1.0)

        return Policy(lambda n: None, act)


@pytest.mark.parametrize("rate", [None, 0.2])
def test_under_a_rate_limit_estimates_are_of_what_is_applied(rate: float | None, tmp_path: Path) -> None:
    """From x = 0.8 at rate 0.2: 0.9, 0.98, 1.04, 1.08, 1.1 and 1.1, then back; without a limit at most 0.95."""
    units = None if rate is None else ActionUnits(np.array([-1.0]), np.array([1.0]), np.array([rate]))
    whole = corridor()
    costs = ConstraintSteps("h", None, whole.violating, whole.costs)
    episodes = AuditedEpisodes(tmp_path, Part(whole, (costs,)), Part(whole, (costs,)))
    states = {"gain": np.ones(1, np.float32)}
    found, _ = estimated_values(Stopper(), states, episodes, horizon=HORIZON, units=units)
    x = whole.observations[whole.episode_starts][:, 0]
    x = np.concatenate([x, x])[np.linspace(0, 239, 32).astype(int)]
    path, action = [], None
    for _ in range(HORIZON):
        chosen = np.where(x < 0.85, 1.0, -1.0)
        action = chosen if action is None or rate is None else np.clip(chosen, action - rate, action + rate)
        x = x + 0.1 * action
        path.append(x)
    truth = (np.array(path) > 1).sum(0).mean()
    assert truth == pytest.approx(0.09 if rate is None else 1.53, abs=0.01)
    assert found["h"]["model"]["mean"] == pytest.approx(truth, abs=0.1)


def test_actions_in_logged_states_follow_the_logged_action_before() -> None:
    """-0.1 and 0.5 after -0.9, in units of 10: within 0.4 of it, -0.5; 0.3 after 0.5 as it is."""
    units = ActionUnits(np.array([0.0]), np.array([10.0]), np.array([2.0]))
    chosen, before = np.array([[-0.1], [0.5], [0.3]]), np.array([[-0.9], [-0.9], [0.5]])
    np.testing.assert_allclose(units.applied_after(chosen, before), [[-0.5], [-0.5], [0.3]], atol=1e-6)
