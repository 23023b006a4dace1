"""COptiDICE: offline constrained policies by correcting the stationary distribution (Lee et al., ICLR 2022, arXiv
2204.08957).

w(s, a) is how much more often the best policy within the limit visits a pair than the data do. It is found from values
nu, a multiplier lambda of the cost and an upper bound of that cost through chi and tau; the policy imitates w. In the
order of an update, all of one forward pass but the last:

- the advantage e = r - lambda c + gamma nu(s') - nu(s) and w = max(0, f'^-1(e / alpha)): `corrections`
- the upper bound of the cost, by the worst reweighting within a divergence epsilon: `bound_loss`
- the values: `value_loss`
- the multiplier, lambda (limit - cost): `multiplier_loss`
- the policy, -E[w log pi(a | s)]: `policy_loss`

The forms follow OSRL's code (03a4586), corrected where it departs from the paper (the preset `legacy` keeps its ways):
the cost is a mean over steps, so its limit is one a step; the policy executes the actions that it was fitted to; first
states have a batch of their own; only termination ends a return.
"""

import itertools
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from surefoot import data
from surefoot.algorithms.coptidice.data import FIRST_EVERY, DICEBatch, DICEData, DICEStatistics
from surefoot.algorithms.standardize import measured_scales, seen_by, standardized_batch
from surefoot.constraints import LimitConfig
from surefoot.data import Dataset
from surefoot.errors import DataError
from surefoot.nn import MLP, SquashedGaussianActor
from surefoot.nn.offline import Trained, descend, start_training, uniform_layers
from surefoot.protocols import Inputs
from surefoot.ranges import COUNT, NUMBER, Range, Ranged
from surefoot.tasks import Task
from surefoot.types import BEFORE, GROUP, DataSpec, Metrics, Phase, Policy, PolicyInputs, Transition

Divergence = Literal["softchi", "chi2", "kl"]
"""f: softchi is x log x below 1 and chi2 above."""
Squash = Literal["none", "atanh", "executed"]
"""How the fitted normal distribution becomes an action. none: clipped. atanh: tanh, fitted to the inverse of it.
executed: tanh, fitted to the action itself (OSRL's, whose actions shrink: 0.9 becomes 0.716)."""
MOST_ACTION = 0.999
"""Actions are clipped here before the inverse of tanh."""


# --- configuration and state ---


@dataclass(frozen=True)
class DICEConfig(Ranged):
    """The regularization, and what OSRL's code does otherwise than the paper."""

    divergence: Divergence = "softchi"
    """Of the corrected distribution from the data's (f)."""
    divergence_weight: Annotated[float, Range("(0, inf)")] = 0.5
    """Its weight (alpha), in units of the scaled reward."""
    cost_divergence: Annotated[float, Range("[0, inf)")] = 0.01
    """Divergence within which the cost is taken at its worst (epsilon); 0: the cost itself."""
    noise: Annotated[float, Range("[0, inf)")] = 0.1
    """Added to states and actions as the policy is fitted, in their standard deviations."""
    squash: Squash = "none"
    """none: clip. atanh: tanh of what was fitted to atanh(a). executed: tanh of what was fitted to a (OSRL's)."""
    limit_per: Literal["step", "episode"] = "step"
    """The cost is a mean over steps, held to (1 - gamma) q; episode: to q, which never binds (OSRL's)."""
    first_states: Literal["batch", "share"] = "batch"
    """Where episodes begin: a batch of first states, or those of the batch divided by their share (OSRL's)."""
    timeouts_terminal: bool = False
    """Let nothing follow where an episode was cut, as OSRL's code does."""


class COptiDICEState(NamedTuple):
    """Training state of COptiDICE: networks, multipliers, optimizers, and statistics of the data."""

    actor: Trained
    nu: Trained
    chi: Trained
    raw_multiplier: Trained
    """lambda before softplus, a number."""
    raw_temperature: Trained
    """tau before softplus."""
    statistics: DICEStatistics


# --- the equations ---


def inverse_derivative(y: Float[Array, "*b"], kind: Divergence) -> Float[Array, "*b"]:
    """f'^-1(y), [*b], of a divergence `kind`."""
    if kind == "kl":
        return jnp.exp(y - 1.0)
    if kind == "chi2":
        return y + 1.0
    return jnp.where(y < 0, jnp.exp(jnp.minimum(y, 0.0)), y + 1.0)


def divergence_of(x: Float[Array, "*b"], kind: Divergence) -> Float[Array, "*b"]:
    """f(x), [*b], of a divergence `kind`; f(1) = 0."""
    below = x * (jnp.log(x + 1e-10) - 1.0) + 1.0
    above = 0.5 * (x - 1.0) ** 2
    if kind == "kl":
        return x * jnp.log(x + 1e-10)
    return above if kind == "chi2" else jnp.where(x < 1, below, above)


def corrections(
    values: MLP, batch: DICEBatch, multiplier: Float[Array, ""], config: "COptiDICE"
) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
    """Advantages e = r - lambda c + gamma m nu(s') - nu(s) and weights w = max(0, f'^-1(e / alpha)), each [b]."""
    step = batch.transition
    following = config.discount * config.continues(step) * least(values, step.next_observation)
    e = step.reward - multiplier * step.cost + following - least(values, step.observation)
    return e, jax.nn.relu(inverse_derivative(e / config.dice.divergence_weight, config.dice.divergence))


def least(values: MLP, observation: Float[Array, "b obs"]) -> Float[Array, " b"]:
    """Smallest value of an ensemble, [b]."""
    return values(observation).min(0)


def first_value(values: MLP, batch: DICEBatch, state: COptiDICEState, config: "COptiDICE") -> Float[Array, " b"]:
    """Terms [b] whose mean is the value of first states: of their own batch, or of the batch's marked transitions."""
    if config.dice.first_states == "batch":
        return jnp.repeat(least(values, batch.first), FIRST_EVERY)[: batch.is_first.shape[0]]
    return least(values, batch.transition.observation) * batch.is_first / state.statistics.first_share


def bound_loss(
    chi: MLP, batch: DICEBatch, w: Float[Array, " b"], state: COptiDICEState, config: "COptiDICE"
) -> tuple[Float[Array, ""], tuple[Float[Array, ""], Float[Array, ""]]]:
    """E[omega ell], the upper bound of the cost; its gradient also goes through omega, as in the authors' code.

    omega = softmax of ell / tau is the worst reweighting of ell = w (c + gamma m chi(s') - chi(s)) + (1 - gamma)
    chi(s_0). Returns (loss, (cost E[omega w c], divergence of omega)).
    """
    step = batch.transition
    following = config.discount * config.continues(step) * least(chi, step.next_observation)
    ell = w * (step.cost + following - least(chi, step.observation))
    ell += (1.0 - config.discount) * first_value(chi, batch, state, config)
    temperature = jax.nn.softplus(state.raw_temperature.network)
    omega = len(ell) * jax.nn.softmax(ell / temperature)
    divergence = jnp.mean(omega * jnp.log(omega + 1e-10) - omega + 1.0)
    return jnp.mean(omega * ell), (jnp.mean(omega * w * step.cost), divergence)


def value_loss(
    nu: MLP, batch: DICEBatch, multiplier: Float[Array, ""], state: COptiDICEState, config: "COptiDICE"
) -> tuple[Float[Array, ""], Metrics]:
    """(1 - gamma) E[nu(s_0)] + E[w e - alpha f(w)]. Returns (loss, metrics): loss, divergence, mean weight and mean
    squared advantage under `nu/`."""
    e, w = corrections(nu, batch, multiplier, config)
    weight, kind = config.dice.divergence_weight, config.dice.divergence
    divergence = divergence_of(w, kind).mean()
    first = (1.0 - config.discount) * first_value(nu, batch, state, config).mean()
    loss = first + jnp.mean(w * e) - weight * divergence
    return loss, {"nu/loss": loss, "nu/divergence": divergence, "nu/weight": w.mean(), "nu/error": jnp.square(e).mean()}


def multiplier_loss(raw: Float[Array, ""], cost: Float[Array, ""], limit: float) -> Float[Array, ""]:
    """lambda (limit - cost), with lambda = softplus(`raw`); cost and limit are means a step."""
    return jax.nn.softplus(raw) * (limit - cost)


def policy_loss(
    actor: SquashedGaussianActor,
    batch: DICEBatch,
    w: Float[Array, " b"],
    noise: tuple[Float[Array, "b obs"], Float[Array, "b act"]],
    state: COptiDICEState,
    config: "COptiDICE",
) -> tuple[Float[Array, ""], None]:
    """-E[w log pi(a | s)] on states and actions with noise, a share of their standard deviations. Returns (loss,
    None)."""
    step, spread, share = batch.transition, state.statistics, config.dice.noise
    action = step.action
    if config.dice.squash == "atanh":
        action = jnp.arctanh(jnp.clip(action, -MOST_ACTION, MOST_ACTION))
    observation = step.observation + share * spread.observation_std[None] * noise[0]
    action = action + share * spread.action_std[None] * noise[1]
    return -jnp.mean(w * actor(observation).log_probability(action)), None


# --- the algorithm ---


@dataclass(frozen=True)
class COptiDICE(Ranged):
    """COptiDICE; the defaults are OSRL's, with the faults of its code corrected."""

    updates: Annotated[int, Range(NUMBER)] = 100_000
    """Updates, each of every network."""
    batch_size: Annotated[int, Range("[1, 2^24]")] = 512
    """Transitions per update."""
    hidden: Annotated[tuple[int, ...], Range("[1, 65536]", fewest=1)] = (256, 256)
    """Units of the hidden layers of all networks."""
    ensemble: Annotated[int, Range(COUNT)] = 2
    """Members of nu and of chi, of which the smallest counts."""
    learning_rate: Annotated[float, Range("(0, inf)")] = 1e-4
    """Of Adam, for all."""
    discount: Annotated[float, Range("[0, 1)")] = 0.99
    """Discount of rewards and costs, per environment step (gamma)."""
    reward_scale: Annotated[float, Range("(0, inf)")] = 0.1
    """Rewards are multiplied by this; costs are as logged."""
    dice: DICEConfig = field(default_factory=DICEConfig, metadata={GROUP: DICEConfig})
    """The regularization."""
    limit: LimitConfig = field(default_factory=LimitConfig, metadata={GROUP: LimitConfig})
    """On an episode's cost."""
    standardize: bool = field(default=False, metadata={BEFORE: False})
    """Networks see observations less their mean and divided by their standard deviation, and rewards are divided by
    theirs, so that units do not matter: both are measured on the training data and kept in the state."""

    inputs: ClassVar[Inputs] = Inputs(initial_states=True)
    paper: ClassVar[str] = "Lee et al., ICLR 2022, arXiv 2204.08957"

    @property
    def trained_limit(self) -> float | None:
        """Limit on the undiscounted cost of an episode that the policy is trained for."""
        return self.limit.cost_limit

    @property
    def cost_bound(self) -> float:
        """Bound on the mean cost of a step."""
        q = self.limit.discounted(self.discount)
        return q if self.dice.limit_per == "episode" else (1.0 - self.discount) * q

    def continues(self, step: Transition) -> Float[Array, " b"]:
        """Continuation mask [b]: 0 where nothing follows."""
        ends = jnp.maximum(step.terminated, step.truncated) if self.dice.timeouts_terminal else step.terminated
        return 1.0 - ends

    # --- data and phases ---

    def prepare(self, dataset: Dataset, task: Task) -> DICEData:
        """Transitions with scaled rewards, and first states of episodes. Raises `ConfigError` without a limit on costs,
        `DataError` without a complete episode."""
        self.limit.require()
        starts = dataset.episode_starts
        if not len(starts):
            raise DataError(f"dataset of {dataset.task}: expected at least one complete episode, found none.")
        transitions = data.to_transitions(dataset, reward_scale=self.reward_scale)
        scales = measured_scales(transitions, factor=self.reward_scale) if self.standardize else None
        transitions = standardized_batch(scales, transitions)
        is_first = np.zeros(len(dataset), np.float32)
        is_first[starts] = 1.0
        spreads = [jnp.asarray(np.asarray(rows).std(0)) for rows in (transitions.observation, transitions.action)]
        statistics = DICEStatistics(spreads[0], spreads[1], jnp.float32(is_first.mean()), scales)
        return DICEData(transitions, jnp.asarray(is_first), jnp.asarray(transitions.observation[starts]), statistics)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The only phase, `joint`: every update trains every network."""
        return (Phase("joint", self.updates, self.batch_size),)

    # --- init, update, policy ---

    def init(self, spec: DataSpec, key: Key[Array, ""], statistics: DICEStatistics | None = None) -> COptiDICEState:
        """Fresh networks and optimizers, with the scales of the data."""
        k_actor, *k_values = jax.random.split(key, 3)
        sizes = list(itertools.pairwise([spec.observation_dim, *self.hidden, 1]))
        values = [MLP(uniform_layers(one, sizes, members=(self.ensemble,))) for one in k_values]
        actor = SquashedGaussianActor.create(k_actor, spec.observation_dim, self.hidden, spec.action_dim)
        begin = lambda network: start_training(network, self.learning_rate, with_target=False)  # noqa: E731
        return COptiDICEState(
            actor=begin(actor),
            nu=begin(values[0]),
            chi=begin(values[1]),
            raw_multiplier=begin(jnp.ones(())),
            raw_temperature=begin(jnp.ones(())),
            statistics=DICEStatistics.none(spec, standardize=self.standardize) if statistics is None else statistics,
        )

    def update(
        self, state: COptiDICEState, batch: DICEBatch, key: Key[Array, ""], *, phase: str
    ) -> tuple[COptiDICEState, Metrics]:
        """One update of chi and tau, nu, lambda and the policy in the phase `joint`; returns (state, metrics)."""
        k_state, k_action = jax.random.split(key)
        step = batch.transition
        noise = jax.random.normal(k_state, step.observation.shape), jax.random.normal(k_action, step.action.shape)
        return dice_step(state, batch, noise, self)

    def policy(self, state: COptiDICEState) -> Policy:
        """Policy that executes the mean of the fitted distribution."""

        def act(carry: Any, inputs: PolicyInputs, key: Key[Array, ""]) -> tuple[Any, Float[Array, "n act"]]:
            mean = state.actor.network(seen_by(state.statistics.scales, inputs.observation)).mean
            return carry, jnp.clip(mean, -1.0, 1.0) if self.dice.squash == "none" else jnp.tanh(mean)

        return Policy(initial=lambda n: None, act=act)


def dice_step(
    state: COptiDICEState,
    batch: DICEBatch,
    noise: tuple[Float[Array, "b obs"], Float[Array, "b act"]],
    config: COptiDICE,
) -> tuple[COptiDICEState, Metrics]:
    """One update of chi and tau, nu, lambda and the policy; metrics are under `chi/`, `nu/`, `multiplier/` and
    `policy/`. `noise` are standard normal numbers for states [b, obs] and actions [b, act]."""
    rate = config.learning_rate
    multiplier = jax.nn.softplus(state.raw_multiplier.network)
    _, w = corrections(state.nu.network, batch, multiplier, config)
    chi, raw_temperature, cost, metrics = step_bound(state, batch, w, config)

    def of_values(network: MLP) -> tuple[Float[Array, ""], Metrics]:
        return value_loss(network, batch, multiplier, state, config)

    nu, (_, value_metrics) = descend(state.nu, of_values, learning_rate=rate)

    def of_multiplier(raw: Float[Array, ""]) -> tuple[Float[Array, ""], None]:
        return multiplier_loss(raw, cost, config.cost_bound), None

    raw_multiplier, (loss, _) = descend(state.raw_multiplier, of_multiplier, learning_rate=rate)
    _, w = corrections(nu.network, batch, multiplier, config)

    def of_policy(actor: SquashedGaussianActor) -> tuple[Float[Array, ""], None]:
        return policy_loss(actor, batch, w, noise, state, config)

    actor, (actor_loss, _) = descend(state.actor, of_policy, learning_rate=rate)
    metrics |= {"multiplier/loss": loss, "multiplier/value": multiplier, "multiplier/cost": cost}
    after = COptiDICEState(actor, nu, chi, raw_multiplier, raw_temperature, state.statistics)
    return after, metrics | value_metrics | {"policy/loss": actor_loss}


def step_bound(
    state: COptiDICEState, batch: DICEBatch, w: Float[Array, " b"], config: COptiDICE
) -> tuple[Trained, Trained, Float[Array, ""], Metrics]:
    """One step of chi and of tau; neither moves where epsilon is 0. Returns (chi, tau before softplus, cost under the
    worst reweighting, metrics)."""
    limit = config.dice.cost_divergence
    if limit == 0.0:
        return state.chi, state.raw_temperature, jnp.mean(w * batch.transition.cost), {}

    def of_bound(network: MLP) -> tuple[Float[Array, ""], tuple[Float[Array, ""], Float[Array, ""]]]:
        return bound_loss(network, batch, w, state, config)

    chi, (loss, (cost, divergence)) = descend(state.chi, of_bound, learning_rate=config.learning_rate)

    def of_temperature(raw: Float[Array, ""]) -> tuple[Float[Array, ""], None]:
        return jax.nn.softplus(raw) * (limit - divergence), None

    temperature, (tau_loss, _) = descend(state.raw_temperature, of_temperature, learning_rate=config.learning_rate)
    metrics = {"chi/loss": loss, "chi/divergence": divergence, "chi/temperature_loss": tau_loss}
    return chi, temperature, cost, metrics
