"""CDT's policy: its window of the last steps, and targets that fall by the rewards and costs of each step."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from surefoot.algorithms.cdt.data import Seen, target_returns
from surefoot.algorithms.cdt.network import DecisionTransformer, Tokens
from surefoot.algorithms.standardize import standardized_by
from surefoot.errors import ConfigError
from surefoot.types import Policy, PolicyInputs


class TargetMemory(NamedTuple):
    """The last K steps of n episodes, left-aligned; entries after the present step are not read."""

    tokens: Tokens
    """Tokens [n, K]; actions and targets as the network reads them."""
    return_left: Float[Array, " n"]
    """Target return that is left, in units of the return."""
    taken: Int[Array, " n"]
    """Steps of the episode before the present one."""


def target_policy(
    network: DecisionTransformer, seen: Seen, *, window: int, return_unit: float | Float[Array, ""],
    cost_token: Callable[[Float[Array, " n"]], Float[Array, " n"]], target_return: float | None,
) -> Policy:  # fmt: skip
    """Policy that executes the clipped mean action, conditioned on what is left of both targets.

    Args:
        network: Reads windows of `window` steps.
        seen: Statistics of the data, for target returns.
        window: Steps that the network reads.
        return_unit: Return that counts as 1.
        cost_token: From the budget that is left [n] to the network's input [n].
        target_return: Target return of an episode; None takes the best return of the data within the limit.

    Returns:
        The policy; it reads `PolicyInputs.remaining_budget`, and `reward` of the step before.
    """

    def initial(n: int) -> TargetMemory:
        zeros = jnp.zeros((n, window))
        tokens = Tokens(
            zeros, zeros, jnp.zeros((n, window, network.observation_dim)),
            jnp.zeros((n, window, network.action_dim)), jnp.zeros((n, window), jnp.int32),
        )  # fmt: skip
        return TargetMemory(tokens, jnp.zeros(n), jnp.zeros(n, jnp.int32))

    def act(
        memory: TargetMemory, inputs: PolicyInputs, key: Key[Array, "*n"]
    ) -> tuple[TargetMemory, Float[Array, "n act"]]:
        if inputs.remaining_budget is None:
            raise ConfigError("cdt acts under a budget: expected PolicyInputs.remaining_budget, found none.")
        budget, step = inputs.remaining_budget, memory.taken
        reward = 0.0 if inputs.reward is None else inputs.reward
        first = target_returns(seen, budget) if target_return is None else jnp.float32(target_return)
        left = jnp.where(step == 0, first, memory.return_left - reward)
        place = jnp.minimum(step, window - 1)
        if inputs.applied is not None:
            memory = _with_applied(memory, inputs.applied)
        full = (step >= window)[:, None]
        held = jax.tree.map(lambda old: jnp.where(_like(full, old), jnp.roll(old, -1, 1), old), memory.tokens)
        entered = Tokens(
            left / return_unit, cost_token(budget), standardized_by(seen.scale, inputs.observation),
            jnp.zeros((len(step), network.action_dim)), step if inputs.step is None else inputs.step,
        )  # fmt: skip
        here = jnp.arange(window)[None] == place[:, None]
        tokens = jax.tree.map(lambda old, new: jnp.where(_like(here, old), new[:, None], old), held, entered)
        mean = network.act(tokens)
        action = jnp.clip((mean * here[..., None]).sum(1), -1.0, 1.0)
        tokens = tokens._replace(action=jnp.where(here[..., None], action[:, None], tokens.action))
        return TargetMemory(tokens, left, step + 1), action

    return Policy(initial=initial, act=act, keyed=True)


def _with_applied(memory: TargetMemory, applied: Float[Array, "n act"]) -> TargetMemory:
    """The memory with the action of the step before as it was applied."""
    width = memory.tokens.action.shape[1]
    before = jnp.arange(width)[None] == jnp.minimum(memory.taken, width)[:, None] - 1  # nowhere as an episode begins
    action = jnp.where(before[..., None], applied[:, None], memory.tokens.action)
    return memory._replace(tokens=memory.tokens._replace(action=action))


def _like(mask: Array, leaf: Array) -> Array:
    return mask.reshape(*mask.shape, *[1] * (leaf.ndim - mask.ndim))
