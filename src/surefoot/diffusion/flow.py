"""Flows from noise to actions: the network, its regression, and Euler steps (Lipman et al., 2023, arXiv 2210.02747)."""

import itertools
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from surefoot.nn import Dense
from surefoot.nn.offline import first_layer, uniform_layers


class FlowNetwork(eqx.Module):
    """Dense layers with GELU between them, from a state and further inputs to an action or a velocity."""

    layers: tuple[Dense, ...]

    @staticmethod
    def create(key: Key[Array, ""], size_in: int, hidden: Sequence[int], action_dim: int) -> "FlowNetwork":
        """Fresh network.

        Args:
            key: Key of the initialization.
            size_in: Numbers of an input: the state's and all further ones.
            hidden: Widths of the hidden layers.
            action_dim: Numbers of an action.

        Returns:
            The network.
        """
        return FlowNetwork(uniform_layers(key, list(itertools.pairwise([size_in, *hidden, action_dim]))))

    def __call__(self, observation: Float[Array, "b obs"], x: Float[Array, "*n b in"]) -> Float[Array, "*n b act"]:
        """One or several outputs for each state.

        Args:
            observation: States, [b, obs].
            x: Further inputs, [*n, b, in].

        Returns:
            Outputs, [*n, b, act].
        """
        hidden = first_layer(self.layers[0], observation, x)
        for layer in self.layers[1:]:
            hidden = layer(jax.nn.gelu(hidden))
        return hidden.reshape(*x.shape[:-1], hidden.shape[-1])


def velocity(
    network: FlowNetwork, observation: Float[Array, "b obs"], x: Float[Array, "b act"], time: Float[Array, " b"]
) -> Float[Array, "b act"]:
    """Velocity of x at flow times in [0, 1].

    Args:
        network: From (state, x, time) to a velocity.
        observation: States, [b, obs].
        x: Points between noise and action, [b, act].
        time: Flow times, 0 at the noise, [b].

    Returns:
        dx / dt, [b, act].
    """
    return network(observation, jnp.concatenate([x, time[:, None]], -1))


def flow_matching_loss(
    network: FlowNetwork,
    observation: Float[Array, "b obs"],
    action: Float[Array, "b act"],
    noise: Float[Array, "b act"],
    time: Float[Array, " b"],
) -> Float[Array, ""]:
    """Flow matching: mean squared error of the velocity a - z at x_t = (1 - t) z + t a (Lipman et al., 2023).

    Args:
        network: Velocity network.
        observation: States, [b, obs].
        action: Logged actions a, [b, act].
        noise: Standard normal numbers z, [b, act].
        time: Flow times t in [0, 1], [b].

    Returns:
        The loss, a scalar.
    """
    x = (1.0 - time[:, None]) * noise + time[:, None] * action
    return jnp.mean((velocity(network, observation, x, time) - (action - noise)) ** 2)


def flow_actions(
    network: FlowNetwork, observation: Float[Array, "b obs"], noise: Float[Array, "b act"], *, steps: int
) -> Float[Array, "b act"]:
    """Actions that Euler steps along the flow reach.

    Args:
        network: Velocity network.
        observation: States, [b, obs].
        noise: Standard normal numbers to start from, [b, act].
        steps: Euler steps.

    Returns:
        Actions, clipped to [-1, 1], [b, act].
    """

    def move(x: Float[Array, "b act"], step: Float[Array, ""]) -> tuple[Float[Array, "b act"], None]:
        time = jnp.full(x.shape[0], step / steps)
        return x + velocity(network, observation, x, time) / steps, None

    moved, _ = jax.lax.scan(move, noise, jnp.arange(steps, dtype=jnp.float32))
    return jnp.clip(moved, -1.0, 1.0)
