"""COptiDICE against numbers computed with OSRL's code: divergences, weights, and one update of everything."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.golden_baselines import check_gradient, check_moved, close, filled, golden_arrays

from surefoot.algorithms.coptidice import COptiDICE, COptiDICEState
from surefoot.algorithms.coptidice.agent import (
    bound_loss,
    corrections,
    dice_step,
    divergence_of,
    inverse_derivative,
    policy_loss,
    value_loss,
)
from surefoot.algorithms.coptidice.data import DICEBatch, DICEStatistics
from surefoot.hyperparameters import change
from surefoot.presets.coptidice import COPTIDICE_PRESETS
from surefoot.types import DataSpec, Transition

SPEC = DataSpec(observation_dim=7, action_dim=2, horizon=300)


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    return golden_arrays()


@pytest.fixture(scope="module")
def agent(golden: dict[str, np.ndarray]) -> COptiDICE:
    """OSRL's ways; the file's limit."""
    limit, horizon = (golden[f"coptidice/threshold/{name}"] for name in ("cost_limit", "horizon"))
    sizes: dict[str, Any] = {"hidden": (32, 32), "cost_limit": float(limit), "horizon": int(horizon)}
    found = change(COptiDICE(), **COPTIDICE_PRESETS["legacy"] | sizes)
    close(found.cost_bound, golden["coptidice/threshold/q"])
    return found


@pytest.fixture(scope="module")
def batch(golden: dict[str, np.ndarray]) -> DICEBatch:
    rows = {name: jnp.asarray(golden[f"batch/{name}"]) for name in ("observations", "actions", "rewards", "costs")}
    nothing = jnp.zeros(32)
    step = Transition(
        observation=rows["observations"], action=rows["actions"], reward=rows["rewards"], cost=rows["costs"],
        next_observation=jnp.asarray(golden["batch/next_observations"]), terminated=jnp.asarray(golden["batch/done"]),
        truncated=nothing, constraint=nothing, constraint_before=nothing, constraint_ahead=nothing,
        episode_violations=nothing, episode_cost=nothing,
    )  # fmt: skip
    return DICEBatch(step, jnp.asarray(golden["batch/is_init"]), rows["observations"])


@pytest.fixture(scope="module")
def state(golden: dict[str, np.ndarray], agent: COptiDICE) -> COptiDICEState:
    named = [golden[f"coptidice/data/{name}"] for name in ("observations_std", "actions_std", "initial_share")]
    statistics = DICEStatistics(jnp.asarray(named[0][0]), jnp.asarray(named[1][0]), jnp.asarray(named[2]))
    fresh = agent.init(SPEC, jax.random.key(0), statistics)
    parts = {
        name: getattr(fresh, name)._replace(network=filled(getattr(fresh, name).network, "coptidice", name))
        for name in ("actor", "nu", "chi")
    }
    return fresh._replace(**parts)


def noise_of(golden: dict[str, np.ndarray]) -> Any:
    return tuple(jnp.asarray(golden[f"coptidice/noise/{name}"]) for name in ("observations", "actions"))


@pytest.mark.parametrize("kind", ["softchi", "chi2", "kl"])
def test_divergences(golden: dict[str, np.ndarray], kind: Any) -> None:
    found = inverse_derivative(jnp.asarray(golden["coptidice/divergence/x"]), kind)
    close(found, golden[f"coptidice/divergence/{kind}_inverse_derivative"])
    close(divergence_of(jnp.maximum(found, 0.0), kind), golden[f"coptidice/divergence/{kind}_f_of_that"])


def test_values_and_weights(golden: dict[str, np.ndarray], agent: Any, state: Any, batch: Any) -> None:
    for name in ("nu", "chi"):
        close(getattr(state, name).network(batch.transition.observation), golden[f"coptidice/forward/{name}"])
    e, w = corrections(state.nu.network, batch, jax.nn.softplus(jnp.float32(1.0)), agent)
    close(e, golden["coptidice/forward/e"])
    close(w, golden["coptidice/forward/w"])


def test_gradients(golden: dict[str, np.ndarray], agent: Any, state: Any, batch: Any) -> None:
    """Each at the networks that its step sees: the policy's after nu has moved."""
    multiplier = jax.nn.softplus(jnp.float32(1.0))
    _, w = corrections(state.nu.network, batch, multiplier, agent)
    chi = jax.grad(lambda network: bound_loss(network, batch, w, state, agent)[0])(state.chi.network)
    check_gradient(chi, golden["coptidice/grad/chi"])
    nu = jax.grad(lambda network: value_loss(network, batch, multiplier, state, agent)[0])(state.nu.network)
    check_gradient(nu, golden["coptidice/grad/nu"])
    after, _ = dice_step(state, batch, noise_of(golden), agent)
    _, w = corrections(after.nu.network, batch, multiplier, agent)
    actor = jax.grad(lambda network: policy_loss(network, batch, w, noise_of(golden), state, agent)[0])
    check_gradient(actor(state.actor.network), golden["coptidice/grad/actor"])


def test_one_update(golden: dict[str, np.ndarray], agent: Any, state: Any, batch: Any) -> None:
    after, metrics = jax.jit(dice_step, static_argnames="config")(state, batch, noise_of(golden), config=agent)
    for ours, theirs in (
        ("chi/loss", "chi_loss"), ("chi/temperature_loss", "tau_loss"), ("chi/divergence", "D_kl"),
        ("nu/divergence", "Df"), ("nu/error", "td_error"), ("nu/loss", "nu_loss"), ("multiplier/loss", "lmbda_loss"),
        ("policy/loss", "actor_loss"), ("multiplier/cost", "cost_estimate"),
    ):  # fmt: skip
        close(metrics[ours], golden[f"coptidice/loss/{theirs}"])
    for name in ("actor", "nu", "chi"):
        check_moved(getattr(state, name).network, getattr(after, name).network, golden[f"coptidice/after/{name}"])
    close(after.raw_temperature.network, golden["coptidice/loss/tau_raw_after"][0])
    close(after.raw_multiplier.network, golden["coptidice/loss/lmbda_raw_after"][0])
    slope = jax.grad(jax.nn.softplus)(1.0)
    close(slope * (0.01 - metrics["chi/divergence"]), golden["coptidice/loss/tau_raw_grad"][0])
    close(slope * (agent.cost_bound - metrics["multiplier/cost"]), golden["coptidice/loss/lmbda_raw_grad"][0])
    temperatures = [jax.nn.softplus(one.network) for one in (after.raw_temperature, after.raw_multiplier)]
    close(temperatures, [golden["coptidice/loss/tau"].item(), golden["coptidice/loss/lmbda"].item()])
