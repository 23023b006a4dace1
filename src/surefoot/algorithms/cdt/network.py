"""CDT's network: four tokens a step through a causal transformer; heads of action, next cost and observation."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from surefoot.nn import Dense
from surefoot.nn.transformer import (
    INITIAL_DEVIATION,
    CausalTransformer,
    Dropout,
    TransformerConfig,
    normal_layers,
)
from surefoot.types import DataSpec

TOKENS = 4
"""Tokens of a step: return to go, cost to go, observation, action."""
_OBSERVATION, _ACTION = 2, 3


class Tokens(NamedTuple):
    """Windows of K steps as the network reads them."""

    return_to_go: Float[Array, "n K"]
    cost_to_go: Float[Array, "n K"]
    observation: Float[Array, "n K obs"]
    action: Float[Array, "n K act"]
    time: Int[Array, "n K"]
    """Steps taken before in the episode."""


class Predictions(NamedTuple):
    """Outputs of the heads at every step."""

    mean: Float[Array, "n K act"]
    """Mean of the action, not bounded."""
    log_std: Float[Array, "n K act"]
    next_observation: Float[Array, "n K obs"]
    cost_logits: Float[Array, "n K 2"]
    """Logits of whether the step costs nothing, or something."""


class DecisionTransformer(eqx.Module):
    """The transformer's embeddings, blocks and heads."""

    time: Float[Array, "T width"]
    observation: Dense
    action: Dense
    cost_to_go: Dense
    return_to_go: Dense
    transformer: CausalTransformer
    mean: Dense
    log_std: Dense
    next_observation: Dense
    cost_logits: Dense

    @staticmethod
    def create(key: Key[Array, ""], spec: DataSpec, *, window: int, config: TransformerConfig) -> "DecisionTransformer":
        """Fresh network.

        Args:
            key: Key of the initialization.
            spec: Dimensions and horizon of the data.
            window: Steps of its context.
            config: Sizes.

        Returns:
            The network.
        """
        k_time, k_dense, k_blocks = jax.random.split(key, 3)
        width, obs, act = config.width, spec.observation_dim, spec.action_dim
        sizes = [(obs, width), (act, width), (1, width), (1, width), *((width, n) for n in (act, act, obs, 2))]
        observation, action, cost, returns, mean, log_std, following, logits = normal_layers(k_dense, sizes)
        time = INITIAL_DEVIATION * jax.random.normal(k_time, (spec.horizon + window, width))
        transformer = CausalTransformer.create(k_blocks, config)
        return DecisionTransformer(
            time, observation, action, cost, returns, transformer, mean, log_std, following, logits
        )

    @property
    def observation_dim(self) -> int:
        return self.observation.kernel.shape[0]

    @property
    def action_dim(self) -> int:
        return self.action.kernel.shape[0]

    def __call__(self, tokens: Tokens, *, dropout: Dropout = None) -> Predictions:
        """Outputs of all heads; the action's head does not see that action, the others do.

        Args:
            tokens: n windows of K steps.
            dropout: (rate, key), or None.

        Returns:
            Predictions at every step, [n, K, ...].
        """
        features = self._features(tokens, (_OBSERVATION, _ACTION), dropout)
        before, after = features[:, :, 0], features[:, :, 1]
        return Predictions(
            self.mean(before), self.log_std(before), self.next_observation(after), self.cost_logits(after)
        )

    def act(self, tokens: Tokens) -> Float[Array, "n K act"]:
        """Mean action at every step, [n, K, act], without dropout."""
        return self.mean(self._features(tokens, (_OBSERVATION,), None)[:, :, 0])

    def _features(self, tokens: Tokens, kept: tuple[int, ...], dropout: Dropout) -> Float[Array, "n K kept width"]:
        """Features of the kept tokens of each step."""
        time = self.time[tokens.time]
        embedded = [
            self.return_to_go(tokens.return_to_go[..., None]),
            self.cost_to_go(tokens.cost_to_go[..., None]),
            self.observation(tokens.observation),
            self.action(tokens.action),
        ]
        rows, steps, width = time.shape
        sequence = jnp.stack([one + time for one in embedded], 2).reshape(rows, steps * TOKENS, width)
        positions = (np.arange(steps)[:, None] * TOKENS + np.asarray(kept)[None]).reshape(-1)
        features = self.transformer(sequence, dropout=dropout, positions=positions)
        return features.reshape(rows, steps, len(kept), width)
