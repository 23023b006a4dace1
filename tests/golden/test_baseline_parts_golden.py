"""Parts that the baselines share against numbers computed with OSRL's code (shared/golden/README.md)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.golden_baselines import close, filled, golden_arrays

from surefoot.constraints import PIDGains, discounted_cost_limit, error_pid_init, error_pid_update
from surefoot.nn.offline import (
    ActionVAE,
    SquashedGaussianActor,
    VAEConfig,
    create_critics,
    critic_values,
)

OBSERVATIONS, ACTIONS, HIDDEN = 7, 2, (32, 32)


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    return golden_arrays()


def test_discounted_limits(golden: dict[str, np.ndarray]) -> None:
    for (limit, discount, horizon), q in zip(
        golden["threshold/limit_gamma_horizon"], golden["threshold/q"], strict=True
    ):
        close(discounted_cost_limit(float(limit), discount=float(discount), horizon=int(horizon)), q)


def test_the_multiplier_of_errors(golden: dict[str, np.ndarray]) -> None:
    gains, state = PIDGains(proportional=0.1, integral=0.003, derivative=0.001), error_pid_init()
    for place, value in enumerate(golden["pid/mean_cost_value"]):
        state = error_pid_update(state, jnp.asarray(value - golden["pid/threshold"]), gains=gains)
        close(state.multiplier, golden["pid/multiplier"][place])
        close(state.integral, golden["pid/error_integral"][place])


def test_squashed_actor_and_ensembles(golden: dict[str, np.ndarray]) -> None:
    observation, action = (jnp.asarray(golden[f"batch/{name}"]) for name in ("observations", "actions"))
    fresh = SquashedGaussianActor.create(jax.random.key(0), OBSERVATIONS, HIDDEN, ACTIONS)
    before = filled(fresh, "cpq", "actor")(observation)
    close(before.mean, golden["cpq/forward/actor_mean"])
    close(jnp.log(before.deviation), golden["cpq/forward/actor_log_std"])
    close(jnp.tanh(before.mean), golden["cpq/forward/actor_deterministic"])
    critics = create_critics(jax.random.key(0), OBSERVATIONS + ACTIONS, HIDDEN, members=2)
    for name in ("critic", "critic_target", "cost_critic", "cost_critic_target"):
        values = critic_values(filled(critics, "cpq", name), observation, action)
        close(values, golden[f"cpq/forward/{name}"])
        # Several actions of each state go another way through the first layer.
        several = critic_values(filled(critics, "cpq", name), observation, jnp.stack([action, 0.5 * action]))
        close(several[:, 0], golden[f"cpq/forward/{name}"])


def test_the_autoencoder(golden: dict[str, np.ndarray]) -> None:
    observation, action = (jnp.asarray(golden[f"batch/{name}"]) for name in ("observations", "actions"))
    vae = filled(ActionVAE.create(jax.random.key(0), OBSERVATIONS, ACTIONS, VAEConfig(hidden=40)), "cpq", "vae")
    latent = vae.encode(observation, action)
    close(latent.mean, golden["cpq/forward/vae_mean"])
    close(latent.deviation, golden["cpq/forward/vae_std"])
    decoded = vae.decode(observation, latent.mean + latent.deviation * golden["cpq/noise/vae"])
    close(decoded, golden["cpq/forward/vae_recon"])
