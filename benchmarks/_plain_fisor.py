"""FISOR's joint update as one would write it first: what benchmarks/fisor_update.py compares ours with.

Plain JAX and optax, every critic a network of its own, parameters in dictionaries. `step` is one jitted call that draws
a batch from the data on the device and updates everything; its state is donated. The same mathematics, and the same
random numbers but for dropout, as `FISOR(schedule="joint")` with the paper's hyper-parameters.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from surefoot.diffusion.schedules import make_schedule
from surefoot.types import Transition

VALUE_BATCH, POLICY_BATCH, POLICY_STEPS = 256, 1024, 2
DISCOUNT, EXPECTILE, TARGET_RATE, EMA_RATE = 0.99, 0.9, 0.005, 0.001
REWARD_TEMPERATURE, CONSTRAINT_TEMPERATURE, REWARD_CLIP, CONSTRAINT_CLIP = 3.0, 5.0, 100.0, 150.0
DIFFUSION_STEPS = 5
VALUE_OPTIMIZER = optax.adam(3e-4)
POLICY_OPTIMIZER = optax.adamw(optax.cosine_decay_schedule(3e-4, 3_000_000), weight_decay=0.0)


class PlainState(NamedTuple):
    """Parameters [(kernel, bias), ...] of each value; critics and their states as tuples of two."""

    q_r: Any
    q_r_target: Any
    v_r: Any
    q_h: Any
    q_h_target: Any
    v_h: Any
    policy: Any
    policy_ema: Any
    q_r_optimizer: Any
    v_r_optimizer: Any
    q_h_optimizer: Any
    v_h_optimizer: Any
    policy_optimizer: Any


def mlp(layers, x):
    for kernel, bias in layers[:-1]:
        x = jax.nn.relu(x @ kernel + bias[None])
    kernel, bias = layers[-1]
    return (x @ kernel + bias[None])[:, 0]


def both(critics, observation, action):
    inputs = jnp.concatenate([observation, action], -1)
    return jnp.stack([mlp(critic, inputs) for critic in critics])


def mish(x):
    return x * jnp.tanh(jax.nn.softplus(x))


def layer_norm(x, scale, bias):
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + 1e-6) * scale[None] + bias[None]


def predict_noise(parameters, noisy, observation, t, key, dropout):
    angles = 2 * jnp.pi * t[:, None] * parameters["frequencies"][:, 0][None]
    features = jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], -1)
    (kernel0, bias0), (kernel1, bias1) = parameters["time"]
    features = mish(features @ kernel0 + bias0[None]) @ kernel1 + bias1[None]
    kernel, bias = parameters["entry"]
    x = jnp.concatenate([noisy, observation, features], -1) @ kernel + bias[None]
    for block, block_key in zip(parameters["blocks"], jax.random.split(key, len(parameters["blocks"])), strict=True):
        hidden = x
        if dropout > 0:
            kept = jax.random.bernoulli(block_key, 1.0 - dropout, x.shape)
            hidden = jnp.where(kept, x / (1.0 - dropout), 0.0)
        hidden = layer_norm(hidden, *block["norm"])
        (kernel0, bias0), (kernel1, bias1) = block["dense"]
        x = x + mish(hidden @ kernel0 + bias0[None]) @ kernel1 + bias1[None]
    kernel, bias = parameters["exit"]
    return mish(x) @ kernel + bias[None]


def policy_loss(parameters, observation, action, weights, key, dropout):
    k_draw, k_dropout = jax.random.split(key)
    k_noise, k_time = jax.random.split(k_draw)
    noise = jax.random.normal(k_noise, action.shape)
    t = jax.random.randint(k_time, action.shape[:1], 0, DIFFUSION_STEPS)
    alpha_bar = jnp.asarray(make_schedule("vp", DIFFUSION_STEPS).alpha_bars)[t][:, None]
    noisy = jnp.sqrt(alpha_bar) * action + jnp.sqrt(1 - alpha_bar) * noise
    predicted = predict_noise(parameters, noisy, observation, t.astype(jnp.float32), k_dropout, dropout)
    return jnp.mean(weights * ((predicted - noise) ** 2).sum(-1))


def weights_of(state, observation, action):
    """Equation 14 of the paper."""
    q_r, v_r = both(state.q_r_target, observation, action).min(0), mlp(state.v_r, observation)
    q_h, v_h = both(state.q_h_target, observation, action).max(0), mlp(state.v_h, observation)
    inside = jnp.where(q_h <= 0, jnp.minimum(jnp.exp(REWARD_TEMPERATURE * (q_r - v_r)), REWARD_CLIP), 0.0)
    outside = jnp.minimum(jnp.exp(CONSTRAINT_TEMPERATURE * (v_h - q_h)), CONSTRAINT_CLIP)
    return jnp.where(v_h <= 0, inside, outside)


def descend(loss, parameters, optimizer, optimizer_state):
    value, gradient = jax.value_and_grad(loss)(parameters)
    change, optimizer_state = optimizer.update(gradient, optimizer_state, parameters)
    return optax.apply_updates(parameters, change), optimizer_state, value


def average(slow, fast, rate):
    return jax.tree.map(lambda old, new: old + rate * (new - old), slow, fast)


def expectile(difference, heavy):
    return jnp.mean(jnp.where(heavy, EXPECTILE, 1 - EXPECTILE) * difference**2)


def update_values(state: PlainState, batch: Transition) -> tuple[PlainState, dict[str, Any]]:
    """V_r, Q_r, V_h, Q_h in that order, each on what the one before produced."""
    observation, action, continues = batch.observation, batch.action, 1.0 - batch.terminated

    q = both(state.q_r_target, observation, action).min(0)

    def v_r_loss(parameters):
        u = q - mlp(parameters, observation)
        return expectile(u, u >= 0)

    v_r, v_r_optimizer, v_r_value = descend(v_r_loss, state.v_r, VALUE_OPTIMIZER, state.v_r_optimizer)
    reward_target = batch.reward + DISCOUNT * continues * mlp(v_r, batch.next_observation)

    def q_r_loss(parameters):
        return jnp.mean((both(parameters, observation, action) - reward_target[None]) ** 2)

    q_r, q_r_optimizer, q_r_value = descend(q_r_loss, state.q_r, VALUE_OPTIMIZER, state.q_r_optimizer)

    q = both(state.q_h_target, observation, action).max(0)

    def v_h_loss(parameters):
        u = q - mlp(parameters, observation)
        return expectile(u, u < 0)

    v_h, v_h_optimizer, v_h_value = descend(v_h_loss, state.v_h, VALUE_OPTIMIZER, state.v_h_optimizer)
    h = jnp.maximum(batch.constraint, batch.constraint_before)
    worst = (1 - DISCOUNT) * h + DISCOUNT * jnp.maximum(h, mlp(v_h, batch.next_observation))
    constraint_target = continues * worst + (1 - continues) * h

    def q_h_loss(parameters):
        return jnp.mean((both(parameters, observation, action) - constraint_target[None]) ** 2)

    q_h, q_h_optimizer, q_h_value = descend(q_h_loss, state.q_h, VALUE_OPTIMIZER, state.q_h_optimizer)
    state = state._replace(
        v_r=v_r, q_r=q_r, v_h=v_h, q_h=q_h,
        q_r_target=average(state.q_r_target, q_r, TARGET_RATE), q_h_target=average(state.q_h_target, q_h, TARGET_RATE),
        v_r_optimizer=v_r_optimizer, q_r_optimizer=q_r_optimizer,
        v_h_optimizer=v_h_optimizer, q_h_optimizer=q_h_optimizer,
    )  # fmt: skip
    losses = {"v_r": v_r_value, "q_r": q_r_value, "v_h": v_h_value, "q_h": q_h_value}
    return state, losses


def update(
    state: PlainState, batch: Transition, key: jax.Array, *, dropout: float
) -> tuple[PlainState, dict[str, Any]]:
    """Two policy steps on the halves of the batch, then the values on its first 256 rows."""
    policy_value = jnp.zeros(())
    for number, step_key in enumerate(jax.random.split(key, POLICY_STEPS)):
        part = slice(number * POLICY_BATCH, (number + 1) * POLICY_BATCH)
        observation, action = batch.observation[part], batch.action[part]
        weights = weights_of(state, observation, action)
        loss = partial(
            policy_loss, observation=observation, action=action, weights=weights, key=step_key, dropout=dropout
        )
        policy, optimizer, policy_value = descend(loss, state.policy, POLICY_OPTIMIZER, state.policy_optimizer)
        ema = average(state.policy_ema, policy, EMA_RATE)
        state = state._replace(policy=policy, policy_ema=ema, policy_optimizer=optimizer)
    state, losses = update_values(state, Transition(*(values[:VALUE_BATCH] for values in batch)))
    return state, losses | {"policy": policy_value}


@partial(jax.jit, static_argnames="dropout", donate_argnames="state")
def step(state: PlainState, data: Transition, key: jax.Array, *, dropout: float) -> tuple[PlainState, dict[str, Any]]:
    """One update on a batch drawn from the data."""
    k_batch, k_update = jax.random.split(key)
    rows = jax.random.randint(k_batch, (POLICY_STEPS * POLICY_BATCH,), 0, data.reward.shape[0])
    batch = jax.tree.map(lambda values: values[rows], data)
    return update(state, batch, k_update, dropout=dropout)
