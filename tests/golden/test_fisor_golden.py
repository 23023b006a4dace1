"""FISOR against numbers computed with the authors' implementation (shared/golden/README.md). Every key is checked."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from surefoot.algorithms.fisor import FISOR, FISORState
from surefoot.algorithms.fisor.acting import candidate_values, choose, choose_candidate, estimate
from surefoot.diffusion import schedules
from surefoot.diffusion.policy import DiffusionPolicyConfig, add_noise, policy_loss
from surefoot.diffusion.samplers import ancestral, dpm_solver_1
from surefoot.hyperparameters import change
from surefoot.nn import DenoiserConfig
from surefoot.types import DataSpec, Transition

RTOL, ATOL = 1e-4, 1e-5
NETWORKS = ["q_r", "q_r_target", "q_h", "q_h_target", "v_r", "v_h", "policy", "policy_ema"]
MLP_ARRAYS = ["dense0.kernel", "dense0.bias", "dense1.kernel", "dense1.bias", "out.kernel", "out.bias"]
BLOCK_ARRAYS = ["norm.scale", "norm.bias", "dense0.kernel", "dense0.bias", "dense1.kernel", "dense1.bias"]


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parent / "fisor.npz") as archive:
        return {key: archive[key] for key in archive.files}


@pytest.fixture(scope="module")
def agent() -> FISOR:
    """The sizes and temperatures of the golden file; legacy meaning of h."""
    return change(
        FISOR(),
        schedule="joint",
        value_batch_size=64,
        policy_batch_size=32,
        reward_temperature=3.0,
        constraint_temperature=5.0,
        count_state_left=False,
        diffusion=DiffusionPolicyConfig(network=DenoiserConfig(dropout=0.0)),
    )


def fill(shape: tuple[int, ...], kind: str, salt: float) -> np.ndarray:
    """Element i of an array in C order is a function of sin(0.731 i + salt)."""
    s = np.sin(0.731 * np.arange(np.prod(shape)) + salt).reshape(shape)
    if kind == "kernel":
        return (np.sqrt(2.0 / shape[-2]) * s).astype(np.float32)
    scale, shift = {"bias": (0.1, 0.0), "scale": (0.1, 1.0), "freq": (0.2, 0.0)}[kind]
    return (shift + scale * s).astype(np.float32)


def filled_mlp(mlp, index: int):
    kinds = [name.split(".")[1] for name in MLP_ARRAYS]
    leaves, structure = jax.tree.flatten(mlp)
    values = [
        # V_h has a leading axis of one member, which changes neither its numbers nor their order
        jnp.asarray(fill(leaf.shape, kind, 10 * index + place))
        for place, (leaf, kind) in enumerate(zip(leaves, kinds, strict=True))
    ]
    return jax.tree.unflatten(structure, values)


def filled_policy(policy, index: int):
    """Our fields in the file's order: time.freq, the two time layers, in, the blocks, out."""
    kinds = ["freq", "kernel", "bias", "kernel", "bias", "kernel", "bias"]
    kinds += [name.split(".")[1] for name in BLOCK_ARRAYS] * len(policy.blocks) + ["kernel", "bias"]
    leaves, structure = jax.tree.flatten(policy)
    values = [
        jnp.asarray(fill(leaf.shape, kind, 10 * index + place))
        for place, (leaf, kind) in enumerate(zip(leaves, kinds, strict=True))
    ]
    return jax.tree.unflatten(structure, values)


@pytest.fixture(scope="module")
def state(agent) -> FISORState:
    fresh = agent.init(DataSpec(7, 2, 100), jax.random.key(0))
    names = {name: index for index, name in enumerate(NETWORKS)}
    reward = fresh.reward._replace(
        critic=filled_mlp(fresh.reward.critic, names["q_r"]),
        critic_target=filled_mlp(fresh.reward.critic_target, names["q_r_target"]),
        value=filled_mlp(fresh.reward.value, names["v_r"]),
    )
    constraint = fresh.constraint._replace(
        critic=filled_mlp(fresh.constraint.critic, names["q_h"]),
        critic_target=filled_mlp(fresh.constraint.critic_target, names["q_h_target"]),
        value=filled_mlp(fresh.constraint.value, names["v_h"]),
    )
    policy = fresh.policy._replace(
        network=filled_policy(fresh.policy.network, names["policy"]),
        network_ema=filled_policy(fresh.policy.network_ema, names["policy_ema"]),
    )
    return FISORState(reward, constraint, policy)


@pytest.fixture(scope="module")
def batch(golden) -> Transition:
    h = jnp.asarray(golden["batch/h"])
    masks = jnp.asarray(golden["batch/masks"])
    return Transition(
        observation=jnp.asarray(golden["batch/observations"]),
        action=jnp.asarray(golden["batch/actions"]),
        reward=jnp.asarray(golden["batch/rewards"]),
        cost=(h > 0).astype(jnp.float32),
        next_observation=jnp.asarray(golden["batch/next_observations"]),
        terminated=1.0 - masks,
        truncated=jnp.zeros_like(masks),
        constraint=h,
        constraint_before=h,
        constraint_ahead=h,  # only `trajectory_bound` reads it
        episode_violations=jnp.zeros_like(h),
        episode_cost=jnp.zeros_like(h),
    )


def close(ours, theirs, *, rtol: float = RTOL, atol: float = ATOL) -> None:
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=rtol, atol=atol)


def test_schedules(golden):
    vp = schedules.make_schedule("vp", 5)
    close(vp.betas, golden["schedule/vp_betas_T5"])
    close(vp.alpha_bars, golden["schedule/alpha_bars"])
    close(schedules.make_schedule("cosine", 20).betas, golden["schedule/cosine_betas_T20"])


def test_critics_and_values(golden, agent, state, batch):
    inputs = jnp.concatenate([batch.observation, batch.action], -1)
    close(state.reward.critic(inputs), golden["forward/q_r"])
    close(state.reward.critic_target(inputs), golden["forward/q_r_target"])
    close(state.constraint.critic(inputs), golden["forward/q_h"])
    close(state.constraint.critic_target(inputs), golden["forward/q_h_target"])
    close(state.reward.value(batch.observation), golden["forward/v_r"])
    close(agent.feasible_value(state, batch.observation), golden["forward/v_h"])


def test_predicted_noise(golden, state, batch):
    t, noise = jnp.asarray(golden["diffusion/t"], jnp.int32), jnp.asarray(golden["diffusion/noise"])
    noisy = add_noise(batch.action, noise, t, schedules.make_schedule("vp", 5))
    close(noisy, golden["diffusion/noisy_actions"])
    close(state.policy.network(noisy, batch.observation, t), golden["forward/policy_eps"])


def test_weights_loss_and_gradient(golden, agent, state, batch, monkeypatch):
    """The loss at the file's own noise and times, without dropout."""
    weights = agent.sample_weights(state, batch, phase="policy")
    close(weights, golden["policy/weights"])
    t, noise = jnp.asarray(golden["diffusion/t"], jnp.int32), jnp.asarray(golden["diffusion/noise"])
    noisy = jnp.asarray(golden["diffusion/noisy_actions"])
    monkeypatch.setattr("surefoot.diffusion.policy.draw_noisy", lambda *_: (noisy, noise, t.astype(jnp.float32)))
    (loss, _), gradient = jax.value_and_grad(policy_loss, has_aux=True)(
        state.policy.network,
        batch.observation,
        batch.action,
        weights,
        jax.random.key(0),
        schedule=agent.diffusion.schedule,
        dropout=0.0,
    )
    close(loss, golden["policy/loss_without_dropout"])
    close(optax.tree.norm(gradient), golden["policy/grad_global_norm"])


def test_one_step_of_every_value(golden, agent, state, batch):
    """V_r, Q_r, V_h, Q_h in that order, each on what the one before produced."""
    after, metrics = jax.jit(agent.update, static_argnames="phase")(state, batch, jax.random.key(0), phase="joint")
    for name, ours in {"r": "reward", "h": "constraint"}.items():
        close(metrics[f"{ours}/value_loss"], golden[f"step/v_{name}_loss"])
        close(metrics[f"{ours}/value"], golden[f"step/v_{name}_mean"])
        close(metrics[f"{ours}/critic_loss"], golden[f"step/q_{name}_loss"])
        close(metrics[f"{ours}/critic"], golden[f"step/q_{name}_mean"])
        before_pair, after_pair = getattr(state, ours), getattr(after, ours)
        for key, field in {f"q_{name}": "critic", f"q_{name}_target": "critic_target", f"v_{name}": "value"}.items():
            old, new = jax.tree.leaves(getattr(before_pair, field)), jax.tree.leaves(getattr(after_pair, field))
            for array, *leaves in zip(MLP_ARRAYS, old, new, strict=True):
                before, moved = (np.asarray(leaf, np.float64) for leaf in leaves)
                total, norm = golden[f"after/{key}/{array}"]
                # The sum of n signed float32 numbers is only known to their rounding.
                close(moved.sum(), total, atol=ATOL + 1e-7 * np.abs(moved).sum())
                close(np.sqrt((moved**2).sum()), norm)
                close(np.abs(moved - before).sum(), golden[f"moved/{key}/{array}"], rtol=1e-3)


def test_ancestral_sampler_and_choice(golden, agent, state):
    policy = state.policy.network_ema
    observation = jnp.asarray(golden["sampler/observation"])[None]
    condition = policy.embed_observation(observation)
    actions = ancestral(
        lambda noisy, t: policy.predict(noisy, condition + policy.embed_time(t[None])),
        jnp.asarray(golden["sampler/start"]),
        jax.random.key(0),
        schedule=agent.diffusion.schedule,
        temperature=0.0,
    )
    close(actions, golden["sampler/actions_zero_temperature"])
    repeated = jnp.repeat(observation, 16, axis=0)
    estimates = estimate(state, repeated, actions, agent)
    np.testing.assert_array_equal(agent.action_value(state, repeated, actions), estimates.q_r)
    close(estimates.q_h, golden["sampler/q_h"])
    chosen = choose_candidate(estimates.q_r[None], estimates.q_h[None], extraction="minqc", margin=0.0)
    assert int(chosen[0]) == int(golden["sampler/chosen"])
    assert int(choose(state, *candidate_values(state, observation, actions[None], agent), agent)[0]) == int(
        golden["sampler/chosen"]
    )


def test_dpm_solver_from_zero(golden, state):
    policy = state.policy.network_ema
    condition = policy.embed_observation(jnp.asarray(golden["sampler/observation"])[None])
    actions = dpm_solver_1(
        lambda noisy, t: policy.predict(noisy, condition + policy.embed_time(t[None])), jnp.zeros((16, 2)), steps=5
    )
    close(actions, golden["sampler/actions_dpm_solver_1_from_zero"])


def test_every_key_of_the_file_is_checked(golden):
    prefixes = {key.split("/")[0] for key in golden}
    assert prefixes == {"batch", "forward", "diffusion", "policy", "schedule", "sampler", "step", "after", "moved"}
    assert sum(key.startswith(("after/", "moved/")) for key in golden) == 2 * 6 * len(MLP_ARRAYS)
