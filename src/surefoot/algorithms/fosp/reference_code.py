"""Deviations of the FOSP authors' code from the paper, used by the preset `released`.

V follows the online Q of imagined steps alone, the reward's by the lower expectile, and p never sees a cost.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from surefoot.algorithms.fosp.config import FOSPConfig
from surefoot.algorithms.fosp.state import FOSPState, ValueNetworks
from surefoot.algorithms.imagination import Earned, ImaginedRollout, Steps, asymmetric_loss, masked_mean, pair, scale_of
from surefoot.nn import NormedMLP
from surefoot.nn.two_hot import two_hot_loss, two_hot_mean
from surefoot.values import reward_target


def action_worth(state: FOSPState, features: Array, action: Array) -> Float[Array, "h n"]:
    """Worth of imagined actions in the authors' code: (Q_r - V_r) / S, blind to cost.

    Args:
        state: Critics and the spread S of reward returns.
        features: Features of states, [H, n, features].
        action: Actions, [H, n, act].

    Returns:
        Worths, [H, n].
    """
    reward = two_hot_mean(state.critics.q_reward(pair(features, action))) / scale_of(state.reward_spread)
    return reward - two_hot_mean(state.critics.v_reward(features)) / scale_of(state.reward_spread)


def value_loss(
    networks: ValueNetworks,
    earned: Earned,
    steps: Steps,
    rollout: ImaginedRollout | None,
    *,
    expectile: float,
    config: FOSPConfig,
) -> tuple[Float[Array, ""], Float[Array, "*b"]]:
    """Loss of Q and V of reward or of cost in the authors' code: V follows the online Q of imagined steps alone.

    Args:
        networks: Q, V and the slow copy of Q.
        earned: Picks rewards or costs of steps.
        steps: Steps of the data in latent space.
        rollout: Imagined rollout, or None.
        expectile: Weight of the lower side of V's regression.
        config: FOSP's hyper-parameters.

    Returns:
        (loss, Q of imagined steps [H, n], or of the data's [n]).
    """
    stop, (q, v, slow) = jax.lax.stop_gradient, networks
    seen, loss = jnp.zeros(0), jnp.zeros(())
    imagines = rollout is not None and config.critics.imagined_branch
    if config.critics.data_branch:
        inputs = pair(steps.features, steps.action)
        target = reward_target(
            earned(steps),
            stop(two_hot_mean(v(steps.next_features))),
            steps.continues,
            discount=config.imagination.discount,
        )
        logits = q(inputs)
        loss += masked_mean(two_hot_loss(logits, target), steps.mask)
        seen = stop(two_hot_mean(logits))
        if not imagines:
            loss += masked_mean(two_hot_loss(logits, stop(two_hot_mean(slow(inputs)))), steps.mask)
    if rollout is not None and imagines:
        features, weight = stop(rollout.features[:-1]), rollout.weight[:-1]
        inputs = stop(pair(features, rollout.action))
        returns = stop(rollout.returns(earned(rollout), v, mixing=config.imagination.mixing)[:-1])
        logits = q(inputs)
        near = two_hot_loss(logits, stop(two_hot_mean(slow(inputs))))
        loss += masked_mean(two_hot_loss(logits, returns) + near, weight)
        seen = stop(two_hot_mean(logits))
        loss += masked_mean(asymmetric_loss(v(features), seen, expectile=expectile, lower=True), weight)
    return loss, seen


def infeasibility(
    reach: NormedMLP, features: Float[Array, "*b features"], action: Float[Array, "*b act"]
) -> Float[Array, "*b"]:
    """p(z, a), by a critic of states and actions.

    Args:
        reach: The critic.
        features: Features of states, [*b, features].
        action: Actions, [*b, act].

    Returns:
        p in [0, 1], [*b].
    """
    return jnp.clip(two_hot_mean(reach(pair(features, action))), 0.0, 1.0)


def reach_loss(
    reach: NormedMLP, slow: NormedMLP, rollout: ImaginedRollout, *, discount: float
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Loss of the authors' reachability critic: y_H = b_H, y_t = max(b_t, gamma y_{t+1}) with b = 1[p > 0].

    Costs appear nowhere, and p rises to 1.

    Args:
        reach: The critic, whose gradient is taken.
        slow: Its slow copy.
        rollout: Imagined rollout.
        discount: gamma, per decision.

    Returns:
        (loss, mean p).
    """
    inputs = pair(rollout.features[:-1], rollout.action)
    logits = reach(inputs)
    p = two_hot_mean(logits)
    reached = jax.lax.stop_gradient(p > 0).astype(jnp.float32)

    def back(later: Array, now: Array) -> tuple[Array, Array]:
        target = jnp.maximum(now, discount * later)
        return target, target

    _, target = jax.lax.scan(back, reached[-1], reached, reverse=True)
    terms = two_hot_loss(logits, target) + two_hot_loss(logits, jax.lax.stop_gradient(two_hot_mean(slow(inputs))))
    return masked_mean(terms, rollout.weight[:-1]), p.mean()
