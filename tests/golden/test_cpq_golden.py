"""CPQ's preset `legacy` against numbers computed with OSRL's code (shared/golden/README.md). Every key is checked."""

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

from surefoot.algorithms import cpq
from surefoot.algorithms.cpq import CPQ, CPQNoise, CPQState
from surefoot.hyperparameters import change
from surefoot.nn import VAEConfig
from surefoot.nn.offline import critic_values, drawn, latent_divergence
from surefoot.presets.baselines import CPQ_PRESETS
from surefoot.types import DataSpec

GOLDEN = golden_arrays()


def of(key: str) -> Any:
    return jnp.asarray(GOLDEN[f"cpq/{key}"])


CONFIG: CPQ = change(
    CPQ(), **CPQ_PRESETS["legacy"], hidden=(32, 32), vae=VAEConfig(hidden=40), num_actions=5,
    cost_limit=float(of("threshold/cost_limit")), horizon=int(of("threshold/horizon")),
)  # fmt: skip
NOISE = CPQNoise(
    *(of(f"noise/{name}") for name in ("vae", "critic_next_action", "cost_next_action", "ood_actions", "policy_action"))
)


class Found(NamedTuple):
    before: CPQState
    after: CPQState
    metrics: dict[str, Any]
    gradients: list[Any]
    values: dict[str, Any]


@pytest.fixture(scope="module")
def found() -> Found:
    """One update, the gradients of its losses, and values on the way."""
    rates = {"actor": 1e-4, "critic": 1e-3, "cost_critic": 1e-3, "vae": 1e-3}
    state = filled_networks(CONFIG.init(DataSpec(7, 2, 100), jax.random.key(0)), "cpq", rates)
    batch = golden_batch(GOLDEN)

    @jax.jit
    def run(state: CPQState) -> Any:
        with captured_gradients(cpq) as gradients:
            after, metrics = cpq.step(state, batch, NOISE, CONFIG)
        actor, target = state.actor.network, state.critics.cost.target
        candidates = drawn(actor(batch.observation), NOISE.candidates)
        rows = cpq.unsupported_actions(after.vae.network, batch.observation, candidates, share=0.25)
        next_action = jnp.tanh(drawn(actor(batch.next_observation), NOISE.next_action))
        action = jnp.tanh(drawn(actor(batch.observation), NOISE.action))
        values = {
            "kl": latent_divergence(after.vae.network.encode(batch.observation, candidates)),
            "all_costs": critic_values(target, batch.observation, candidates).min(0),
            "kept": cpq.reference_unsupported_cost(target, rows, 160, CONFIG),
            "online": jax.value_and_grad(cpq.reference_unsupported_cost)(state.critics.cost.network, rows, 160, CONFIG),
            "rows": len(rows[0]),
            "next_cost": critic_values(target, batch.next_observation, next_action).min(0),
            "next_value": critic_values(state.critics.reward.target, batch.next_observation, next_action).min(0),
            "cost": critic_values(after.critics.cost.network, batch.observation, action).min(0),
        }
        return after, metrics, gradients, values

    return Found(state, *run(state))


def test_limits() -> None:
    close(CONFIG.threshold, of("threshold/q"))
    close(CONFIG.unsupported_cost * CONFIG.threshold, of("threshold/ood"))


def test_losses_and_gradients(found: Found) -> None:
    check_losses(GOLDEN, "cpq", found.metrics, found.gradients)
    close(found.after.log_alpha, of("loss/log_alpha_after"))
    close(found.metrics["cost/alpha"], of("loss/alpha_value"))


def test_targets_and_what_lies_within_the_limit(found: Found) -> None:
    close(found.values["next_cost"], of("target/next_cost_value"))
    close(found.values["next_value"], of("target/next_value"))
    close(1.0 * (found.values["next_cost"] <= CONFIG.threshold), of("target/kept"))
    close(found.values["cost"], of("actor/cost_value"))
    close(1.0 * (found.values["cost"] <= CONFIG.threshold), of("actor/kept"))
    close(found.metrics["actor/within_limit"], of("actor/kept").mean())


def test_unsupported_actions(found: Found) -> None:
    """`fixed` is the term with the online critic, whose gradient OSRL's code leaves out."""
    close(found.values["kl"], of("ood/kl"))
    quantile = np.quantile(found.values["kl"], 0.75)
    close(quantile, of("ood/kl_quantile"))
    assert int(found.values["rows"]) == (np.asarray(found.values["kl"]) >= quantile).sum()
    close(found.values["all_costs"], of("ood/cost_value"))
    close(found.values["kept"], of("ood/mean"))
    value, gradient = found.values["online"]
    close(of("threshold/ood") - value, of("fixed/ood_term"))  # what alpha multiplies
    squares = [(np.asarray(leaf, np.float64) ** 2).sum() for leaf in jax.tree.leaves(gradient)]
    close(np.sqrt(sum(squares)), of("fixed/ood_term_grad_norm"))


def test_parameters_after_the_step(found: Found) -> None:
    check_parameters(GOLDEN, "cpq", found.before, found.after)


def test_every_key_of_the_file_is_checked() -> None:
    """`forward` stands in test_baseline_parts_golden; draws that are thrown away are not made."""
    groups = {"threshold", "forward", "noise", "grad", "loss", "target", "ood", "fixed", "actor", "after"}
    assert {key.split("/")[1] for key in GOLDEN if key.startswith("cpq/")} == groups
