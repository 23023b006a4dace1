"""The one-step flow policy: its parts against sums by hand."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot import presets
from surefoot.algorithms.one_step_flow import OneStepFlow, distillation_multiplier, student_loss
from surefoot.diffusion.flow import FlowNetwork, flow_actions, flow_matching_loss
from surefoot.errors import ConfigError
from surefoot.hyperparameters import change, flat
from surefoot.nn import Dense
from surefoot.tasks import get_task
from surefoot.types import DataSpec

SPEC = DataSpec(observation_dim=3, action_dim=2, horizon=10)
OBSERVATION = jnp.zeros((4, 3))


def saying(numbers: list[float], size_in: int) -> FlowNetwork:
    """A network that says these numbers of everything."""
    return FlowNetwork((Dense(jnp.zeros((size_in, len(numbers))), jnp.asarray(numbers)),))


def test_the_loss_of_a_velocity_that_is_known() -> None:
    """a = 0.5, z = -0.5: the velocity is 1 wherever x is; one that says 0.5 and 1.5 errs by 0.5 in each number."""
    action, noise, time = jnp.full((4, 2), 0.5), jnp.full((4, 2), -0.5), jnp.linspace(0.0, 1.0, 4)
    assert float(flow_matching_loss(saying([1.0, 1.0], 6), OBSERVATION, action, noise, time)) == 0.0
    assert float(flow_matching_loss(saying([0.5, 1.5], 6), OBSERVATION, action, noise, time)) == pytest.approx(0.25)


def test_euler_steps_follow_a_constant_velocity_to_the_bounds_of_actions() -> None:
    """From 0.25 with velocities 0.5 and 2 for a time of 1: 0.75, and 2.25, which is clipped."""
    moved = flow_actions(saying([0.5, 2.0], 6), OBSERVATION, jnp.full((4, 2), 0.25), steps=10)
    np.testing.assert_allclose(moved, np.tile([0.75, 1.0], (4, 1)), rtol=1e-6)


@pytest.mark.parametrize(("error", "direction"), [(0.5, 1.0), (0.001, -1.0), (0.02, 0.0)])
def test_alpha_follows_the_error_of_the_distillation(error: float, direction: float) -> None:
    config = OneStepFlow()
    moved = float(distillation_multiplier(jnp.float32(1.0), jnp.float32(error), config))
    assert np.sign(round(moved - 1.0, 6)) == direction


@pytest.mark.parametrize(("bias", "inside"), [(-1.0, 1.0), (1.0, 0.0)])
def test_rewards_count_inside_and_safety_outside(bias: float, inside: float) -> None:
    """Q_h = -1: -Q_r / |Q_r| = 1 for Q_r = -2; Q_h = 1: w times 1. The student says what the teacher does."""
    config = change(OneStepFlow(), value_hidden=(4,), student=change(OneStepFlow().student, safety_weight=3.0))
    state = config.init(SPEC, jax.random.key(0))

    def constant(pair: Any, value: float) -> Any:
        zeros = jax.tree.map(jnp.zeros_like, pair.critic_target)
        last = Dense(zeros.layers[-1].kernel, zeros.layers[-1].bias + value)
        return pair._replace(critic_target=type(zeros)((*zeros.layers[:-1], last)))

    fisor = state.fisor._replace(
        reward=constant(state.fisor.reward, -2.0), constraint=constant(state.fisor.constraint, bias)
    )
    student = saying([0.1, 0.2], 5)
    aimed = jnp.tile(jnp.asarray([0.1, 0.2]), (4, 1))
    loss, metrics = student_loss(student, state._replace(fisor=fisor), OBSERVATION, jnp.ones((4, 2)), aimed, config)
    assert float(metrics["policy/inside"]) == inside
    assert float(loss) == pytest.approx(1.0 if inside else 3.0, abs=1e-5)


def test_critics_and_weights_are_those_of_fisors_preset() -> None:
    for name, extraction in (("BallRun", "first_feasible"), ("PointRobot", "feasible_first")):
        task = get_task(name)
        fisor, flow = flat(presets.build("fisor", task)), flat(presets.build("one_step_flow", task))
        apart = {"diffusion", "extraction", "num_candidates", "safer_step"}
        assert {name for name, value in fisor.items() if flow[name] != value} <= apart
        assert (flow["num_candidates"], flow["extraction"]) == (4, extraction)


def test_critics_are_finished_before_the_student_learns() -> None:
    with pytest.raises(ConfigError, match="schedule: expected decoupled, for the student learns from finished critics"):
        change(OneStepFlow(), schedule="joint")
