"""CDT: the Constrained Decision Transformer (Liu et al., ICML 2023, arXiv 2302.07351).

A causal transformer reads a window of (return to go, cost to go, observation, action) and imitates the action of
episodes that kept to such targets. The cost to go is the budget that is left, so one model serves all limits.

- the data, drawn by cost, and relabeled episodes: `prepare_sequences`, `relabeled_episodes`
- the objective, log-likelihood with an entropy bonus and the class of the next cost: `sequence_loss`
- its gradient, in slices of the batch on a CPU: `sequence_gradient`
- the temperature of the entropy: `temperature_gradient`
- acting with targets that go down as rewards and costs come in: `target_policy`

Corrected against OSRL's code (the preset `legacy` keeps its ways): every episode is drawn whatever it cost; the cost
token is a share of the task's largest limit, never below 0; entropy and likelihood are sums over the action's numbers,
as their target is; a cost counts as one where it is above 0; relabeled episodes belong to their targets; the first
target return is the best of the data under the limit.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Key

from surefoot.algorithms.cdt.acting import target_policy
from surefoot.algorithms.cdt.augment import AugmentationConfig, relabeled_episodes
from surefoot.algorithms.cdt.data import (
    DrawConfig,
    Seen,
    SequenceBatch,
    SequenceData,
    check_target_return,
    prepare_sequences,
    target_remarks,
)
from surefoot.algorithms.cdt.network import DecisionTransformer, Tokens
from surefoot.algorithms.standardize import unit_observation_scale
from surefoot.data import Dataset
from surefoot.nn.transformer import TransformerConfig
from surefoot.protocols import Inputs
from surefoot.ranges import NUMBER, Range, Ranged
from surefoot.tasks import Task
from surefoot.types import BEFORE, GROUP, DataSpec, Metrics, Phase, Policy

__all__ = ["CDT", "CDTState", "prepare_sequences", "relabeled_episodes", "sequence_loss", "target_policy"]
LEGACY_REFERENCE = 50.0
"""What OSRL's cost token is subtracted from."""
SLICE = 32
"""Windows that the network reads at once on a CPU, whose caches hold what their gradient needs."""


class CDTState(NamedTuple):
    """Training state of CDT: transformer, temperature, optimizers, and statistics of the data."""

    network: DecisionTransformer
    optimizer: optax.OptState
    log_temperature: Float[Array, ""]
    temperature_optimizer: optax.OptState
    seen: Seen


@dataclass(frozen=True)
class TokenConfig(Ranged, part="tokens"):
    """Units of the target return and the target cost as tokens."""

    return_unit: Annotated[float | None, Range("(0, inf)")] = None
    """Return that counts as 1; by default the largest of the data, in size."""
    cost_token: Literal["share", "remainder"] = "share"
    """share: cost to go divided by the task's largest limit, within [0, what the data had]. remainder: 50 minus the
    cost to go (OSRL's)."""
    cost_class: Literal["positive", "truncated"] = "positive"
    """Class of the next cost: whether it is above 0, or its whole part (OSRL's)."""


@dataclass(frozen=True)
class EntropyConfig(Ranged, part="entropy"):
    """The temperature that holds the entropy of actions at minus their number of dimensions."""

    temperature: Annotated[float, Range("(0, inf)")] = 0.1
    """At first."""
    temperature_rate: Annotated[float, Range("[0, inf)")] = 1e-4
    """Adam's learning rate of its logarithm."""
    entropy_over: Literal["sum", "mean"] = "sum"
    """Of the action's dimensions, in the entropy and in the likelihood; mean is OSRL's."""


@dataclass(frozen=True)
class OptimizationConfig(Ranged):
    """AdamW, its gradient clipped, its rate rising at first."""

    learning_rate: Annotated[float, Range("(0, inf)")] = 1e-4
    """After the rise."""
    weight_decay: Annotated[float, Range("[0, inf)")] = 1e-4
    """Of all parameters."""
    clip: Annotated[float, Range("(0, inf)")] = 0.25
    """Largest norm of the gradient."""
    warm_up: Annotated[int, Range(NUMBER)] = 500
    """Updates over which the rate rises linearly; 0: none."""


def sequence_loss(
    network: DecisionTransformer,
    tokens: Tokens,
    batch: SequenceBatch,
    temperature: Float[Array, ""],
    key: Key[Array, ""] | None,
    *,
    config: "CDT",
    all_valid: Bool[Array, "m K"] | None = None,
) -> tuple[Float[Array, ""], Metrics]:
    """CDT's objective: -(log p(a) + T H) over valid steps, plus weighted errors of the next cost's class and
    observation.

    Args:
        network: The transformer.
        tokens: Inputs of n windows of K steps.
        batch: The windows, with the mask of valid steps.
        temperature: T of the entropy bonus, a scalar.
        key: Random key of dropout; None: no dropout.
        config: Weights of the errors.
        all_valid: Valid steps of all m windows of a batch of which these n are a slice, [m, K]; means are then the
            slice's parts of the batch's means.

    Returns:
        `(loss, metrics)`: `policy/loss` without weighted errors, `policy/log_likelihood`, `policy/entropy`,
        `policy/cost_loss` and `policy/cost_accuracy` of the cost's class, and `policy/state_loss` of the observation.
    """
    valid = batch.valid.astype(jnp.float32)
    share = 1.0 if all_valid is None else len(valid) / len(all_valid)
    over = jnp.sum if config.entropy.entropy_over == "sum" else jnp.mean
    outputs = network(tokens, dropout=None if key is None else (config.network.dropout, key))
    deviation = jnp.exp(outputs.log_std)
    scaled = (batch.steps.action - outputs.mean) / deviation
    log_density = -0.5 * jnp.square(scaled) - outputs.log_std - 0.5 * jnp.log(2.0 * jnp.pi)
    count = valid.sum() if all_valid is None else all_valid.sum()
    likelihood = (over(log_density, -1) * valid).sum() / count
    entropy = (over(outputs.log_std + 0.5 * jnp.log(2.0 * jnp.pi * jnp.e), -1) * valid).sum() / count
    positive = batch.steps.cost > 0 if config.tokens.cost_class == "positive" else batch.steps.cost >= 1
    log_class = jax.nn.log_softmax(outputs.cost_logits)
    of_class = jnp.where(positive, log_class[..., 1], log_class[..., 0])
    cost_loss = -share * (of_class * valid).mean()
    right = ((outputs.cost_logits.argmax(-1) == positive) * valid).sum() / count
    error = (outputs.next_observation[:, :-1] - batch.steps.observation[:, 1:]) ** 2
    state_loss = share * (error * valid[:, :-1, None]).mean()
    objective = -(likelihood + temperature * entropy)
    loss = objective + config.cost_weight * cost_loss + config.state_weight * state_loss
    return loss, {
        "policy/loss": loss, "policy/log_likelihood": likelihood, "policy/entropy": entropy,
        "policy/cost_loss": cost_loss, "policy/cost_accuracy": right, "policy/state_loss": state_loss,
    }  # fmt: skip


def sequence_gradient(
    network: DecisionTransformer, tokens: Tokens, batch: SequenceBatch, temperature: Float[Array, ""],
    key: Key[Array, ""], *, config: "CDT",
) -> tuple[DecisionTransformer, Metrics]:  # fmt: skip
    """Gradient of `sequence_loss`, and its metrics; on a CPU summed over slices of the batch, which bounds memory."""
    rows = len(batch.valid)
    gradient = jax.grad(sequence_loss, has_aux=True)
    if jax.default_backend() != "cpu" or rows % SLICE or rows <= 2 * SLICE:
        return gradient(network, tokens, batch, temperature, key, config=config)

    def part(given: Any) -> tuple[DecisionTransformer, Metrics]:
        its_slice, its_key = given
        return gradient(network, *its_slice, temperature, its_key, config=config, all_valid=batch.valid)

    slices = jax.tree.map(lambda x: x.reshape(-1, SLICE, *x.shape[1:]), (tokens, batch))
    given = slices, jax.random.split(key, rows // SLICE)
    first = jax.tree.map(lambda x: x[0], given)
    nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(part, first))
    return jax.lax.scan(lambda total, one: (jax.tree.map(jnp.add, total, part(one)), None), nothing, given)[0]


def temperature_gradient(
    log_temperature: Float[Array, ""], entropy: Float[Array, ""], *, action_dim: int
) -> Float[Array, ""]:
    """Gradient of T (H + d) with respect to log T, for actions of d numbers and of the mean entropy H in nats; the
    target entropy is -d."""
    return jnp.exp(log_temperature) * (entropy + action_dim)


@dataclass(frozen=True)
class CDT(Ranged):
    """The Constrained Decision Transformer; the defaults are the paper's, with the faults of OSRL's code corrected."""

    policy_updates: Annotated[int, Range(NUMBER)] = 100_000
    """Updates."""
    policy_batch_size: Annotated[int, Range("[1, 2^24]")] = 2048
    """Windows per update."""
    window: Annotated[int, Range("[1, 4096]")] = 10
    """Steps that the network reads."""
    network: TransformerConfig = field(default_factory=TransformerConfig)
    """Sizes."""
    optimization: OptimizationConfig = field(default_factory=OptimizationConfig, metadata={GROUP: OptimizationConfig})
    """AdamW."""
    tokens: TokenConfig = field(default_factory=TokenConfig, metadata={GROUP: TokenConfig})
    """Units of the targets."""
    entropy: EntropyConfig = field(default_factory=EntropyConfig, metadata={GROUP: EntropyConfig})
    """Of actions."""
    cost_weight: Annotated[float, Range("[0, inf)")] = 0.02
    """Of the loss of the next cost's class."""
    state_weight: Annotated[float, Range("[0, inf)")] = 0.0
    """Of the loss of the next observation."""
    sampling: DrawConfig = field(default_factory=DrawConfig, metadata={GROUP: DrawConfig})
    """How often episodes are drawn."""
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig, metadata={GROUP: AugmentationConfig})
    """Relabeled episodes."""
    target_return: Annotated[float | None, Range("(-inf, inf)")] = None
    """Of an episode, to act with; by default the best of the data under the limit."""
    standardize: bool = field(default=False, metadata={BEFORE: False})
    """The network sees observations less their mean and divided by their standard deviation, measured on the training
    data and kept in the state, so that units do not matter."""

    inputs: ClassVar[Inputs] = Inputs(budget=True, windows=True)
    paper: ClassVar[str] = "Liu et al., ICML 2023, arXiv 2302.07351"
    budget_discount: ClassVar[float] = 1.0

    # --- data and phases ---

    def prepare(self, dataset: Dataset, task: Task) -> SequenceData:
        """Windows of logged and relabeled episodes. Raises `DataError` where no episode is complete or none could be
        drawn, `ConfigError` where `target_return` is above the largest return of the data."""
        found = prepare_sequences(
            dataset, task, window=self.window, sampling=self.sampling, augmentation=self.augmentation,
            standardize=self.standardize,
        )  # fmt: skip
        check_target_return(found.statistics, self.target_return)
        return found

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The only phase, `policy`."""
        return (Phase("policy", self.policy_updates, self.policy_batch_size),)

    # --- init, update, policy ---

    def init(self, spec: DataSpec, key: Key[Array, ""], statistics: Seen | None = None) -> CDTState:
        """Fresh networks and optimizers, with the scales of the data; without `statistics` every scale is 1."""
        network = DecisionTransformer.create(key, spec, window=self.window, config=self.network)
        log_temperature = jnp.log(jnp.float32(self.entropy.temperature))
        return CDTState(
            network=network,
            optimizer=self._optimizer.init(network),  # pyright: ignore[reportArgumentType]
            log_temperature=log_temperature,
            temperature_optimizer=self._temperature_optimizer.init(log_temperature),
            seen=self._unseen(spec) if statistics is None else statistics,
        )

    def update(
        self, state: CDTState, batch: SequenceBatch, key: Key[Array, ""], *, phase: str
    ) -> tuple[CDTState, Metrics]:
        """One step of AdamW on B windows of K steps, then one step of Adam on the temperature.

        Returns:
            `(state, metrics)`: those of `sequence_loss`, and `policy/temperature`.
        """
        tokens = self.tokens_of(batch, state.seen)
        temperature = jnp.exp(state.log_temperature)
        gradient, metrics = sequence_gradient(state.network, tokens, batch, temperature, key, config=self)
        change, optimizer = self._optimizer.update(gradient, state.optimizer, state.network)  # pyright: ignore[reportArgumentType]
        slope = temperature_gradient(
            state.log_temperature, metrics["policy/entropy"], action_dim=state.network.action_dim
        )
        step, temperature_optimizer = self._temperature_optimizer.update(slope, state.temperature_optimizer)
        state = state._replace(
            network=optax.apply_updates(state.network, change),  # pyright: ignore[reportArgumentType]
            optimizer=optimizer,
            log_temperature=optax.apply_updates(state.log_temperature, step),
            temperature_optimizer=temperature_optimizer,
        )
        return state, {**metrics, "policy/temperature": jnp.exp(state.log_temperature)}

    def sample_weights(self, state: CDTState, data: SequenceData, *, phase: str) -> Float[Array, " M"]:
        """Sampling weights [M] of windows, by the cost of their episodes."""
        return data.weights

    def policy(self, state: CDTState) -> Policy:
        """Policy under `PolicyInputs.remaining_budget`, which it requires; `reward` brings the target return down."""
        return target_policy(
            state.network, state.seen, window=self.window, return_unit=self.return_unit(state.seen),
            cost_token=lambda cost: self.cost_token(cost, state.seen), target_return=self.target_return,
        )  # fmt: skip

    def budget_remarks(self, state: CDTState, budgets: list[float]) -> list[str]:
        """Remarks on budgets (undiscounted costs) that no episode of the data had, a sentence each. Raises
        `ConfigError` where `target_return` is above the largest return of the data."""
        return target_remarks(jax.device_get(state.seen), budgets, self.target_return)

    # --- targets as tokens ---

    def tokens_of(self, batch: SequenceBatch, seen: Seen) -> Tokens:
        """Inputs of the transformer for a batch.

        Args:
            batch: Sequences of K steps.
            seen: Statistics of the data.

        Returns:
            Tokens, arrays [B, K, ...].
        """
        steps = batch.steps
        return Tokens(
            steps.return_to_go / self.return_unit(seen), self.cost_token(steps.cost_to_go, seen),
            steps.observation, steps.action, steps.time,
        )  # fmt: skip

    def return_unit(self, seen: Seen) -> float | Float[Array, ""]:
        """Return that counts as 1: the configured one, or the largest |return| of the data."""
        given = self.tokens.return_unit
        return jnp.maximum(jnp.abs(seen.return_range).max(), 1e-6) if given is None else given

    def cost_token(self, cost: Float[Array, "*n"], seen: Seen) -> Float[Array, "*n"]:
        """Inputs of the transformer for costs to go or budgets.

        Args:
            cost: Costs to go or budgets [*n]; values above the data's largest (inf: no limit) count as the largest.
            seen: Statistics of the data.

        Returns:
            Inputs [*n].
        """
        cost = jnp.minimum(cost, seen.cost_range[1])
        if self.tokens.cost_token == "remainder":
            return LEGACY_REFERENCE - cost
        return jnp.maximum(cost, 0.0) / seen.largest_limit

    def learning_rate_after(self, count: Any) -> Any:
        """Learning rate of the update with index `count`."""
        rate, rise = self.optimization.learning_rate, self.optimization.warm_up
        return rate * jnp.minimum((count + 1) / rise, 1.0) if rise else jnp.float32(rate)

    def _unseen(self, spec: DataSpec) -> Seen:
        """Statistics before there are data."""
        return Seen.none(unit_observation_scale(spec.observation_dim) if self.standardize else None)

    @property
    def _optimizer(self) -> optax.GradientTransformation:
        chosen = self.optimization
        adam = optax.adamw(self.learning_rate_after, b1=0.9, b2=0.999, eps=1e-8, weight_decay=chosen.weight_decay)
        return optax.chain(optax.clip_by_global_norm(chosen.clip), adam)

    @property
    def _temperature_optimizer(self) -> optax.GradientTransformation:
        return optax.adam(self.entropy.temperature_rate)
