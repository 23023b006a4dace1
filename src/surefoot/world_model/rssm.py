"""Recurrent state-space model (Hafner et al., 2019; DreamerV3, 2023, section 3 of its appendix).

h_t = f(h_{t-1}, s_{t-1}, a_{t-1}) is deterministic. s_t is drawn from the prior p(s_t | h_t) where the model imagines,
and from the posterior q(s_t | h_t, o_t) where it observes. What does not depend on the previous step is computed for a
whole window at once, outside the scan: the shares of embeddings and actions in the layers, and the prior.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from surefoot.kernels.matmul import matmul
from surefoot.nn.categorical import mixed_log_probabilities, sample
from surefoot.nn.networks import FAN_AVERAGE, Dense, dense_layers
from surefoot.nn.normed import LayerNorm, NormedDense
from surefoot.world_model.config import WorldModelConfig
from surefoot.world_model.latent import Latent, Observed


class RSSM(eqx.Module):
    """Layers of the model; a kernel that acts on several inputs is kept in parts, one for each."""

    first: Float[Array, " deter"]
    """The initial h is tanh of it."""
    random_kernel: Float[Array, "random hidden"]
    """Share of s in SiLU(LN(W [s, a]))."""
    action_kernel: Float[Array, "act hidden"]
    """Share of a."""
    input_norm: LayerNorm
    gates_kernel: Float[Array, "in gates"]
    """The GRU's product W [h, x], for reset, candidate and update."""
    gates_norm: LayerNorm
    prior_hidden: NormedDense
    prior_out: Dense
    state_kernel: Float[Array, "deter hidden"]
    """Share of h in SiLU(LN(W [h, embedding])) of the posterior."""
    embedding_kernel: Float[Array, "size hidden"]
    """Share of the embedding."""
    posterior_norm: LayerNorm
    posterior_out: Dense
    groups: int = eqx.field(static=True)
    classes: int = eqx.field(static=True)
    uniform_share: float = eqx.field(static=True)

    @staticmethod
    def create(key: Key[Array, ""], config: WorldModelConfig, *, embedding: int, action_dim: int) -> "RSSM":
        """Model with random parameters; the parts of a kernel have the scale of the whole layer.

        Args:
            key: Random key.
            config: Sizes.
            embedding: Numbers of an embedding.
            action_dim: Numbers of an action.

        Returns:
            The model.
        """
        deter, hidden, random = config.deterministic, config.hidden, config.random
        sizes = [
            (random + action_dim, hidden), (deter + hidden, 3 * deter), (deter, hidden), (hidden, random),
            (deter + embedding, hidden), (hidden, random),
        ]  # fmt: skip
        inputs, gates, prior, prior_out, posterior, posterior_out = dense_layers(key, sizes, initializer=FAN_AVERAGE)
        return RSSM(
            first=jnp.zeros(deter),
            random_kernel=inputs.kernel[:random],
            action_kernel=inputs.kernel[random:],
            input_norm=LayerNorm.create(hidden),
            gates_kernel=gates.kernel,
            gates_norm=LayerNorm.create(3 * deter),
            prior_hidden=NormedDense.of(prior),
            prior_out=prior_out,
            state_kernel=posterior.kernel[:deter],
            embedding_kernel=posterior.kernel[deter:],
            posterior_norm=LayerNorm.create(hidden),
            posterior_out=posterior_out,
            groups=config.groups,
            classes=config.classes,
            uniform_share=config.uniform_share,
        )

    # --- parts of a step ---

    def initial(self, count: int) -> Latent:
        """Learned initial states [count, ...]: h = tanh(first), s = the mode of the prior at h."""
        h = jnp.broadcast_to(jnp.tanh(self.first), (count, self.first.shape[0]))
        return jax.lax.stop_gradient(self.draw(h, self.prior(h), None))._replace(deterministic=h)

    def advance(self, latent: Latent, action_part: Float[Array, "n hidden"]) -> Float[Array, "n deter"]:
        """Recurrent state h after an action.

        Args:
            latent: States before the action, arrays [n, ...].
            action_part: Share of the action in the first layer [n, hidden].

        Returns:
            h [n, deter].
        """
        x = jax.nn.silu(self.input_norm(matmul(latent.random, self.random_kernel) + action_part))
        product = self.gates_norm(matmul(jnp.concatenate([latent.deterministic, x], -1), self.gates_kernel))
        reset, candidate, update = jnp.split(product, 3, axis=-1)
        candidate = jnp.tanh(jax.nn.sigmoid(reset) * candidate)
        update = jax.nn.sigmoid(update - 1.0)
        return update * candidate + (1.0 - update) * latent.deterministic

    def action_part(self, action: Float[Array, "*b act"]) -> Float[Array, "*b hidden"]:
        """Share of actions in the first layer; numbers beyond [-1, 1] are scaled back to its border."""
        bounded = action / jnp.maximum(1.0, jnp.abs(action))
        return matmul(bounded.astype(self.action_kernel.dtype), self.action_kernel)

    def prior(self, h: Float[Array, "*b deter"]) -> Float[Array, "*b groups classes"]:
        """Log-probabilities log p(s | h) [*b, groups, classes]."""
        return self._distribution(self.prior_out(self.prior_hidden(h)))

    def posterior(
        self, h: Float[Array, "n deter"], embedding_part: Float[Array, "n hidden"]
    ) -> Float[Array, "n groups classes"]:
        """Log-probabilities log q(s | h, o).

        Args:
            h: Recurrent states [n, deter].
            embedding_part: Share of the observation's embedding in the first layer [n, hidden].

        Returns:
            Log-probabilities [n, groups, classes].
        """
        product = matmul(h, self.state_kernel) + embedding_part
        return self._distribution(self.posterior_out(jax.nn.silu(self.posterior_norm(product))))

    def embedding_part(self, embedding: Float[Array, "*b size"]) -> Float[Array, "*b hidden"]:
        """Share of embeddings in the posterior's first layer."""
        return matmul(embedding, self.embedding_kernel)

    # --- whole windows ---

    def observe(
        self,
        embedding: Float[Array, "b t size"],
        action: Float[Array, "b t act"],
        is_first: Bool[Array, "b t"],
        key: Key[Array, ""],
    ) -> Observed:
        """Posterior states of windows; a row starts afresh at its first step and wherever `is_first` is set.

        Args:
            embedding: Embeddings [B, T, size].
            action: Action of each step [B, T, act], which leads to the next one.
            is_first: Whether an episode begins with a step [B, T].
            key: Random key.

        Returns:
            Posterior states, posterior and prior, arrays [B, T, ...].
        """
        rows, length = is_first.shape
        before = jnp.concatenate([jnp.zeros_like(action[:, :1]), action[:, :-1]], 1)
        starts = is_first.at[:, 0].set(True)
        gumbel = jax.random.gumbel(key, (length, rows, self.groups, self.classes))
        action_parts = self.action_part(jnp.where(starts[..., None], 0.0, before))
        first = self.initial(rows)

        def step(latent: Latent, inputs: tuple[Array, Array, Array, Array]) -> tuple[Latent, tuple[Latent, Array]]:
            action_part, embedding_part, start, noise = inputs
            latent = jax.tree.map(lambda new, old: jnp.where(start[:, None], new, old), first, latent)
            h = self.advance(latent, action_part)
            posterior = self.posterior(h, embedding_part)
            entered = self.draw(h, posterior, noise)
            return entered, (entered, posterior)

        by_time = (_swap(action_parts), _swap(self.embedding_part(embedding)), _swap(starts), gumbel)
        _, (latent, posterior) = jax.lax.scan(step, first, by_time)
        latent, posterior = jax.tree.map(_swap, latent), _swap(posterior)
        return Observed(latent, posterior, self.prior(latent.deterministic))

    def imagine_step(
        self, latent: Latent, action: Float[Array, "n act"], gumbel: Float[Array, "n groups classes"]
    ) -> Latent:
        """States after an action, drawn from the prior.

        Args:
            latent: States before the action, arrays [n, ...].
            action: Actions [n, act].
            gumbel: Gumbel noise [n, groups, classes].

        Returns:
            States, arrays [n, ...].
        """
        h = self.advance(latent, self.action_part(action))
        return self.draw(h, self.prior(h), gumbel)

    def draw(
        self,
        h: Float[Array, "n deter"],
        distribution: Float[Array, "n groups classes"],
        gumbel: Float[Array, "n groups classes"] | None,
    ) -> Latent:
        """State [h, s] with s drawn by Gumbel noise.

        Args:
            h: Recurrent states [n, deter].
            distribution: Log-probabilities of s [n, groups, classes].
            gumbel: Gumbel noise [n, groups, classes]; None: the most likely s.

        Returns:
            States, arrays [n, ...].
        """
        return Latent(h, self._flat(sample(distribution, gumbel)).astype(h.dtype))

    def _distribution(self, logits: Float[Array, "*b random"]) -> Float[Array, "*b groups classes"]:
        grouped = logits.reshape(*logits.shape[:-1], self.groups, self.classes)
        return mixed_log_probabilities(grouped, uniform=self.uniform_share)

    def _flat(self, one_hots: Float[Array, "*b groups classes"]) -> Float[Array, "*b random"]:
        return one_hots.reshape(*one_hots.shape[:-2], self.groups * self.classes)


def _swap(values: Array) -> Array:
    """Array with batch and time exchanged."""
    return jnp.swapaxes(values, 0, 1)
