"""The presets `legacy` of BCQ-Lag and BEAR-Lag against numbers computed with OSRL's code (shared/golden/README.md).
Every key is checked."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.golden_baselines import (
    captured_gradients,
    check_losses,
    check_parameters,
    close,
    filled_networks,
    golden_arrays,
    golden_batch,
)

from surefoot.algorithms import bcq_lag, bear_lag
from surefoot.algorithms.baseline import group_mixture, values_of
from surefoot.algorithms.bcq_lag import BCQLag, BCQNoise
from surefoot.algorithms.bear_lag import BEARLag, BEARNoise, SupportConfig
from surefoot.constraints import ErrorPIDState
from surefoot.hyperparameters import change
from surefoot.nn import VAEConfig
from surefoot.nn.offline import clipped_latent, critic_values, drawn, mean_discrepancy
from surefoot.presets.baselines import BCQ_LAG_PRESETS, BEAR_LAG_PRESETS
from surefoot.types import DataSpec

GOLDEN = golden_arrays()
BATCH = golden_batch(GOLDEN)
RATES: dict[str, float] = {"actor": 1e-3, "critic": 1e-3, "cost_critic": 1e-3, "vae": 1e-3}
SIZES: dict[str, Any] = {"hidden": (32, 32), "vae": VAEConfig(hidden=40), "num_candidates": 5}


def of(key: str) -> Any:
    return jnp.asarray(GOLDEN[key])


def first(key: str, samples: int) -> Any:
    """Rows that are repeated for each state, or [state, sample, ...], as [sample, state, ...]."""
    array = of(key)
    return jnp.moveaxis(array.reshape(32, samples, array.shape[-1]), 1, 0)


def limits(name: str) -> dict[str, Any]:
    return {"cost_limit": float(of(f"{name}/threshold/cost_limit")), "horizon": int(of(f"{name}/threshold/horizon"))}


BCQ: BCQLag = change(BCQLag(), **BCQ_LAG_PRESETS["legacy"], **SIZES, **limits("bcq_lag"))
BEAR: BEARLag = change(
    BEARLag(), **BEAR_LAG_PRESETS["legacy"], **SIZES, **limits("bear_lag"), support=SupportConfig(num_samples=6)
)
BCQ_NOISE = BCQNoise(
    of("bcq_lag/noise/vae"), first("bcq_lag/noise/critic_latent", 5), first("bcq_lag/noise/cost_latent", 5),
    of("bcq_lag/noise/policy_latent"),
)  # fmt: skip
BEAR_NOISE = BEARNoise(
    of("bear_lag/noise/vae"), first("bear_lag/noise/critic_next_actions", 5),
    first("bear_lag/noise/cost_next_actions", 5), first("bear_lag/noise/support_latent", 6),
    first("bear_lag/noise/policy_actions", 6),
)  # fmt: skip


class Found(NamedTuple):
    before: Any
    after: Any
    metrics: dict[str, Any]
    gradients: list[Any]
    values: dict[str, Any]


def started(config: Any, name: str) -> Any:
    state = filled_networks(config.init(DataSpec(7, 2, 100), jax.random.key(0)), name, RATES)
    multiplier = ErrorPIDState(
        of(f"{name}/pid/error_integral_before"), of(f"{name}/pid/error_old_before"), jnp.zeros(())
    )
    return state._replace(multiplier=multiplier)


@pytest.fixture(scope="module")
def bcq() -> Found:
    @jax.jit
    def run(state: Any) -> Any:
        with captured_gradients(bcq_lag) as gradients:
            after, metrics = bcq_lag.step(state, BATCH, BCQ_NOISE, BCQ)
        inputs = BATCH.observation, BATCH.action
        candidates = bcq_lag.candidates_of(
            after.vae.network, state.actor.target, BATCH.next_observation, clipped_latent(BCQ_NOISE.candidates), BCQ
        )
        next_values = critic_values(state.critics.reward.target, BATCH.next_observation, candidates)
        action = bcq_lag.candidates_of(
            after.vae.network, state.actor.network, BATCH.observation, clipped_latent(BCQ_NOISE.action), BCQ
        )
        values = {
            "actor": jnp.clip(BATCH.action + BCQ.perturbation * state.actor.network(*inputs), -1.0, 1.0),
            "critic": critic_values(state.critics.reward.network, *inputs),
            "critic_target": critic_values(state.critics.reward.target, *inputs),
            "cost_critic": critic_values(state.critics.cost.network, *inputs),
            "cost_critic_target": critic_values(state.critics.cost.target, *inputs),
            "candidates": candidates,
            "next_value": group_mixture(next_values, "min").max(0),
            "cost": values_of(after.critics, BATCH.observation, action, "min")[0],
        }
        return after, metrics, gradients, values

    state = started(BCQ, "bcq_lag")
    return Found(state, *run(state))


@pytest.fixture(scope="module")
def bear() -> Found:
    @jax.jit
    def run(state: Any) -> Any:
        with captured_gradients(bear_lag) as gradients:
            after, metrics = bear_lag.step(state, BATCH, BEAR_NOISE, BEAR)
        support = after.vae.network.decode_raw(BATCH.observation, clipped_latent(BEAR_NOISE.support))
        raw = drawn(state.actor.network(BATCH.observation), BEAR_NOISE.actions)
        values = {
            "support": support,
            "raw": raw,
            "gaussian": mean_discrepancy(support, raw, sigma=50.0),
            "laplacian": mean_discrepancy(support, raw, kernel="laplacian", sigma=20.0),
            "cost": values_of(after.critics, BATCH.observation, jnp.tanh(raw[0]), "min")[0],
        }
        return after, metrics, gradients, values

    state = started(BEAR, "bear_lag")
    return Found(state, *run(state))


def check_limit(found: Found, name: str, config: Any) -> None:
    """The discounted limit, and the multiplier's controller."""
    close(config.threshold, of(f"{name}/threshold/q"))
    close(found.values["cost"], of(f"{name}/actor/cost_value"))
    multiplier = found.after.multiplier
    close(multiplier.multiplier, of(f"{name}/loss/lagrangian"))
    close(found.metrics["actor/lambda"], of(f"{name}/loss/lagrangian"))
    close((multiplier.multiplier * (found.values["cost"] - config.threshold)).mean(), of(f"{name}/loss/qc_penalty"))
    close(multiplier.integral, of(f"{name}/pid/error_integral"))
    close(multiplier.previous_error, of(f"{name}/pid/error_old"))


def test_losses_and_gradients_of_bcq(bcq: Found) -> None:
    check_losses(GOLDEN, "bcq_lag", bcq.metrics, bcq.gradients)
    check_parameters(GOLDEN, "bcq_lag", bcq.before, bcq.after)
    check_limit(bcq, "bcq_lag", BCQ)


def test_values_of_bcq(bcq: Found) -> None:
    close(bcq.values["actor"], of("bcq_lag/forward/actor"))
    for name in ("critic", "critic_target", "cost_critic", "cost_critic_target"):
        close(bcq.values[name].reshape(2, 2, 32), of(f"bcq_lag/forward/{name}"))
    close(np.moveaxis(bcq.values["candidates"], 0, 1), of("bcq_lag/target/candidates"))
    close(bcq.values["next_value"], of("bcq_lag/target/next_value"))


def test_losses_and_gradients_of_bear(bear: Found) -> None:
    check_losses(GOLDEN, "bear_lag", bear.metrics, bear.gradients)
    check_parameters(GOLDEN, "bear_lag", bear.before, bear.after)
    check_limit(bear, "bear_lag", BEAR)
    close(bear.metrics["actor/discrepancy"], of("bear_lag/loss/mmd_loss"))
    close(bear.after.log_alpha, of("bear_lag/loss/log_alpha_after"))
    close(bear.metrics["actor/alpha"], of("bear_lag/loss/alpha_value"))


def test_support_of_bear(bear: Found) -> None:
    close(np.moveaxis(bear.values["support"], 0, 1), of("bear_lag/actor/support_raw"))
    close(np.moveaxis(bear.values["raw"], 0, 1), of("bear_lag/actor/policy_raw"))
    close(bear.values["gaussian"], of("bear_lag/actor/mmd_gaussian_50"))
    close(bear.values["laplacian"], of("bear_lag/actor/mmd_laplacian_20"))


def test_every_key_of_the_file_is_checked() -> None:
    groups = {"threshold", "noise", "grad", "loss", "actor", "after", "pid"}
    assert {key.split("/")[1] for key in GOLDEN if key.startswith("bear_lag/")} == groups
    assert {key.split("/")[1] for key in GOLDEN if key.startswith("bcq_lag/")} == groups | {"forward", "target"}
