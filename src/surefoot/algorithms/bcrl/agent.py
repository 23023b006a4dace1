"""BCRL: budget-conditioned reachability (arXiv 2603.22292, ICAPS 2026), one model for all limits and no generative one.

V_c(s) is the least cost still to come. From a state every budget of at least that can be kept, so the values of rewards
and the policy take the budget as an input and learn only from budgets that can be kept. In the order of an update (the
paper's numbers are not given: its text was not at hand):

- the least cost, Q_c to c + gamma V_c(s') and V_c to a lower expectile of it: `cost_step`
- budgets that can be kept from s' on, and what they are worth at s: `drawn_budgets`
- the value of rewards under a budget, Q_r(s, a, b) to r + gamma V_r(s', b'): `reward_step`
- the policy, two heads by advantage-weighted regression: `policy_step`
- acting: rewards while the budget is above the least cost, else the safest way: `budget_policy`

`stochastic` takes the slack, the budget less the least cost, in place of the budget, and lets it fall only by costs
that the policy chose. Beyond the paper: costs may count undiscounted, and a margin is taken off the budget.
"""

import itertools
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from surefoot import data
from surefoot.algorithms.bcrl.parts import (
    BudgetConfig,
    BudgetStatistics,
    Head,
    Scaled,
    cost_critic,
    cost_value,
    joined,
    normalized,
)
from surefoot.data import Dataset
from surefoot.errors import ConfigError
from surefoot.nn import MLP, apply_gradient, move_towards
from surefoot.nn.networks import dense_layers
from surefoot.nn.offline import Trained, descend, start_training
from surefoot.protocols import Inputs
from surefoot.ranges import COUNT, NUMBER, Range, Ranged
from surefoot.tasks import Task
from surefoot.types import GROUP, UNKNOWN_AHEAD, DataSpec, Metrics, Phase, Policy, PolicyInputs, Transition
from surefoot.values import expectile_loss

LARGEST_WEIGHT = 100.0
"""Of a transition in the policy's regression."""


class BCRLState(NamedTuple):
    """Training state of BCRL: networks, optimizers, and statistics of the data."""

    cost_value: Trained
    cost_critic: Trained
    reward_value: Trained
    reward_critic: Trained
    reward_head: Trained
    safe_head: Trained
    statistics: BudgetStatistics


@dataclass(frozen=True)
class BCRL(Ranged):
    """Budget-conditioned reachability; the defaults are the paper's."""

    updates: Annotated[int, Range(NUMBER)] = 100_000
    """Updates, each of every network."""
    batch_size: Annotated[int, Range("[1, 2^24]")] = 512
    """Transitions per update."""
    hidden: Annotated[tuple[int, ...], Range("[1, 65536]", fewest=1)] = (256, 256)
    """Units of the hidden layers of all networks."""
    ensemble: Annotated[int, Range(COUNT)] = 2
    """Members of each critic: the smallest reward and the largest cost count."""
    learning_rate: Annotated[float, Range("(0, inf)")] = 3e-4
    """Of Adam; the policy's falls to 0 as a cosine."""
    discount: Annotated[float, Range("[0, 1)")] = 0.99
    """Of rewards, per environment step (gamma)."""
    target_rate: Annotated[float, Range("(0, 1]")] = 0.005
    """Share of the critics that enters their moving averages at each update."""
    expectile: Annotated[float, Range("(0, 1)")] = 0.8
    """Upper expectile of the value of rewards."""
    temperature: Annotated[float, Range("[0, inf)")] = 3.0
    """Factor of the advantages in the policy's weights (beta)."""
    budget: BudgetConfig = field(default_factory=BudgetConfig, metadata={GROUP: BudgetConfig})
    """What a budget is."""

    inputs: ClassVar[Inputs] = Inputs(budget=True)
    paper: ClassVar[str] = "ICAPS 2026, arXiv 2603.22292"

    @property
    def budget_discount(self) -> float:
        """d in b_{t+1} = (b_t - c_t) / d, per environment step."""
        return self.budget.cost_discount

    @property
    def planned_over(self) -> dict[str, str]:
        """Numbers of updates that a schedule depends on -> how it depends on them."""
        return {"updates": "the policy's learning rate falls over it"}

    @property
    def head_optimizer(self) -> optax.GradientTransformation:
        """Adam for the policy, its learning rate falling to 0."""
        return optax.adam(optax.cosine_decay_schedule(self.learning_rate, max(1, self.updates)))

    def prepare(self, dataset: Dataset, task: Task) -> Transition:
        """All transitions, actions clipped to [-1, 1]."""
        assert dataset.required_rewards is not None
        return data.to_transitions(dataset, reward_scale=1.0)

    @property
    def calibrated_phases(self) -> tuple[str, ...]:
        """Phases that begin with a measurement of the data's scales."""
        return ("joint",)

    def calibrate(self, state: BCRLState, data: Transition, *, phase: str) -> BCRLState:
        """State with the scales of `data`."""
        deviation, spread = data.observation.std(0), data.reward.std()
        complete = jnp.where(data.episode_cost < UNKNOWN_AHEAD, data.episode_cost, 0.0)
        at_most = data.cost.max() / (1.0 - self.budget.cost_discount) if self.budget.cost_discount < 1.0 else jnp.inf
        found = BudgetStatistics(
            mean=data.observation.mean(0),
            std=jnp.where(deviation > 1e-6, deviation, 1.0),
            largest_budget=jnp.maximum(jnp.minimum(complete.max(), at_most), 1.0),
            reward=jnp.where(spread > 1e-6, spread, 1.0),
        )
        return state._replace(statistics=found)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The only phase, `joint`: every update trains every network."""
        return (Phase("joint", self.updates, self.batch_size),)

    def init(self, spec: DataSpec, key: Key[Array, ""], statistics: None = None) -> BCRLState:
        """Fresh networks; the scales of the data are measured before the first update."""
        keys = jax.random.split(key, 6)
        obs, act = spec.observation_dim, spec.action_dim

        def begin(network: Any, *, target: bool = False) -> Trained:
            return start_training(network, self.learning_rate, with_target=target)

        def head(head_key: Key[Array, ""], size_in: int) -> Trained:
            network: Any = Head(dense_layers(head_key, list(itertools.pairwise([size_in, *self.hidden, act]))))
            return Trained(network, None, self.head_optimizer.init(network))

        return BCRLState(
            cost_value=begin(MLP.create(keys[0], obs, self.hidden)),
            cost_critic=begin(MLP.create(keys[1], obs + act, self.hidden, members=(self.ensemble,)), target=True),
            reward_value=begin(MLP.create(keys[2], obs + 1, self.hidden)),
            reward_critic=begin(MLP.create(keys[3], obs + act + 1, self.hidden, members=(self.ensemble,)), target=True),
            reward_head=head(keys[4], obs + 1),
            safe_head=head(keys[5], obs),
            statistics=BudgetStatistics(jnp.zeros(obs), jnp.ones(obs), jnp.ones(()), jnp.ones(())),
        )

    def update(
        self, state: BCRLState, batch: Transition, key: Key[Array, ""], *, phase: str
    ) -> tuple[BCRLState, Metrics]:
        """One update of the cost values, the reward values and both policy heads; returns (state, metrics)."""
        scaled, (k_reward, k_policy) = Scaled.of(batch, state.statistics), jax.random.split(key)
        state, cost_metrics = cost_step(state, scaled, self)
        state, reward_metrics = reward_step(state, scaled, k_reward, self)
        state, policy_metrics = policy_step(state, scaled, k_policy, self)
        return state, cost_metrics | reward_metrics | policy_metrics

    def policy(self, state: BCRLState) -> Policy:
        """Policy under `PolicyInputs.remaining_budget`, which it requires."""
        return budget_policy(self, state)

    def cost_to_come(self, state: BCRLState, observation: Float[Array, "n obs"]) -> Float[Array, " n"]:
        """V_c [n], the least cost to come, in units of the cost."""
        return cost_value(state.cost_value.network, normalized(observation, state.statistics))

    def feasible_value(self, state: BCRLState, observation: Float[Array, "n obs"]) -> Float[Array, " n"]:
        """V_c less the margin [n]; > 0 where a budget of 0 cannot be kept."""
        return self.cost_to_come(state, observation) - self.budget.budget_margin

    def action_value(self, state: BCRLState, observation: Float[Array, "n obs"], action: Any) -> Float[Array, " n"]:
        """Q_r [n] without a limit, in standard deviations of the rewards."""
        largest = jnp.broadcast_to(state.statistics.largest_budget, observation.shape[:1])
        seen = normalized(observation, state.statistics)
        least = cost_critic(state.cost_critic.target, seen, action)
        given = self.token(largest, least, state.statistics)
        return jnp.min(state.reward_critic.target(joined(seen, action, given)), axis=0)

    def token(
        self, budget: Float[Array, " n"], least: Float[Array, " n"], statistics: BudgetStatistics
    ) -> Float[Array, " n"]:
        """Network input for a budget: the budget, or its slack above `least`, as a share of the largest budget.

        Args:
            budget: Budgets [n].
            least: Smallest predicted costs [n].

        Returns:
            Inputs [n] in [-1, 1].
        """
        slack = budget - least if self.budget.form == "stochastic" else budget
        return jnp.clip(slack / statistics.largest_budget, -1.0, 1.0)


def cost_step(state: BCRLState, batch: Scaled, config: BCRL) -> tuple[BCRLState, Metrics]:
    """One step of V_c on the lower expectile of the target Q_c, then of Q_c on c + gamma V_c(s')."""
    expectile = config.budget.cost_expectile
    q = cost_critic(state.cost_critic.target, batch.observation, batch.action)

    def of_value(network: MLP) -> tuple[Float[Array, ""], Metrics]:
        value = cost_value(network, batch.observation)
        loss, _ = expectile_loss(q - value, expectile=expectile)
        return loss, {"cost/value_loss": loss, "cost/value": value.mean()}

    value, (_, metrics) = descend(state.cost_value, of_value, learning_rate=config.learning_rate)
    following = cost_value(value.network, batch.next_observation)
    target = batch.cost + config.budget.cost_discount * batch.continues * following

    def of_critic(network: MLP) -> tuple[Float[Array, ""], Metrics]:
        error = jnp.abs(network(joined(batch.observation, batch.action))) - target[None]
        loss = (error**2).mean(-1).sum()
        return loss, {"cost/critic_loss": loss, "cost/critic": target.mean()}

    critic, (_, more) = descend(state.cost_critic, of_critic, learning_rate=config.learning_rate)
    critic = critic._replace(target=move_towards(critic.target, critic.network, rate=config.target_rate))
    return state._replace(cost_value=value, cost_critic=critic), metrics | more


def drawn_budgets(
    state: BCRLState, batch: Scaled, key: Key[Array, ""], config: BCRL
) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
    """Pairs of kept budgets (b at s, b' at s') [b], uniform from the least cost to come to the largest budget."""
    discount, most = config.budget.cost_discount, state.statistics.largest_budget
    following = cost_value(state.cost_value.network, batch.next_observation)
    q = cost_critic(state.cost_critic.target, batch.observation, batch.action)
    least = jnp.minimum(jnp.maximum(following, (q - batch.cost) / discount), most)
    after = least + jax.random.uniform(key, least.shape) * (most - least)
    return batch.cost + discount * after, after


def reward_step(state: BCRLState, batch: Scaled, key: Key[Array, ""], config: BCRL) -> tuple[BCRLState, Metrics]:
    """One step of V_r on the upper expectile of target Q_r at kept budgets, then of Q_r on r + gamma V_r(s', b')."""
    k_value, k_critic = jax.random.split(key)
    statistics = state.statistics
    at_value, q = action_tokens(state, batch, kept_budget(state, batch, k_value), config)

    def of_value(network: MLP) -> tuple[Float[Array, ""], Metrics]:
        value = network(joined(batch.observation, at_value))
        loss, _ = expectile_loss(q - value, expectile=config.expectile)
        return loss, {"reward/value_loss": loss, "reward/value": value.mean()}

    value, (_, metrics) = descend(state.reward_value, of_value, learning_rate=config.learning_rate)
    before, after = drawn_budgets(state, batch, k_critic, config)
    least_after = cost_value(state.cost_value.network, batch.next_observation)
    following = value.network(joined(batch.next_observation, config.token(after, least_after, statistics)))
    target = batch.reward + config.discount * batch.continues * following
    least = cost_critic(state.cost_critic.target, batch.observation, batch.action)
    inputs = joined(batch.observation, batch.action, config.token(before, least, statistics))

    def of_critic(network: MLP) -> tuple[Float[Array, ""], Metrics]:
        loss = ((network(inputs) - target[None]) ** 2).mean(-1).sum()
        return loss, {"reward/critic_loss": loss, "reward/critic": target.mean()}

    critic, (_, more) = descend(state.reward_critic, of_critic, learning_rate=config.learning_rate)
    critic = critic._replace(target=move_towards(critic.target, critic.network, rate=config.target_rate))
    return state._replace(reward_value=value, reward_critic=critic), metrics | more


def kept_budget(state: BCRLState, batch: Scaled, key: Key[Array, ""]) -> Float[Array, " b"]:
    """Budgets [b], uniform from the least cost after the logged action to the largest budget."""
    most = state.statistics.largest_budget
    least = jnp.minimum(cost_critic(state.cost_critic.target, batch.observation, batch.action), most)
    return least + jax.random.uniform(key, least.shape) * (most - least)


def action_tokens(
    state: BCRLState, batch: Scaled, budget: Float[Array, " b"], config: BCRL
) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
    """Budget tokens [b] of V_r and the policy, and the smaller target Q_r [b] of the logged actions under them."""
    statistics = state.statistics
    of_state = cost_value(state.cost_value.network, batch.observation)
    of_action = cost_critic(state.cost_critic.target, batch.observation, batch.action)
    inputs = joined(batch.observation, batch.action, config.token(budget, of_action, statistics))
    return config.token(budget, of_state, statistics), state.reward_critic.target(inputs).min(0)


def policy_step(state: BCRLState, batch: Scaled, key: Key[Array, ""], config: BCRL) -> tuple[BCRLState, Metrics]:
    """Weighted regression of both policy heads on logged actions: weights exp(beta (Q_r - V_r)) under a kept budget,
    exp(beta (V_c - Q_c)) for the safe head."""
    token, q = action_tokens(state, batch, kept_budget(state, batch, key), config)
    better = q - state.reward_value.network(joined(batch.observation, token))
    safer = cost_value(state.cost_value.network, batch.observation) - cost_critic(
        state.cost_critic.target, batch.observation, batch.action
    )

    def step(head: Trained, inputs: Float[Array, "b in"], advantage: Float[Array, " b"]) -> tuple[Trained, Any]:
        weight = jnp.minimum(jnp.exp(config.temperature * advantage), LARGEST_WEIGHT)

        def loss(network: Head) -> Float[Array, ""]:
            return jnp.mean(weight * jnp.square(network(inputs) - batch.action).sum(-1))

        value, gradient = jax.value_and_grad(loss)(head.network)
        network, optimizer = apply_gradient(config.head_optimizer, gradient, head.optimizer, head.network)
        return Trained(network, head.target, optimizer), value

    reward_head, reward_loss = step(state.reward_head, joined(batch.observation, token), better)
    safe_head, safe_loss = step(state.safe_head, batch.observation, safer)
    metrics = {"policy/reward_loss": reward_loss, "policy/safe_loss": safe_loss, "policy/advantage": better.mean()}
    return state._replace(reward_head=reward_head, safe_head=safe_head), metrics


class SlackMemory(NamedTuple):
    """Memory of the stochastic form's policy in n episodes."""

    slack: Float[Array, " n"]
    taken: Any
    """Steps of the episode before the present one."""


def budget_policy(config: BCRL, state: BCRLState) -> Policy:
    """Policy that takes the reward head while the budget is above the least cost to come, else the safe head.

    Stochastic: the slack starts as the budget less the least cost, and falls by the chosen action's extra cost.
    """
    statistics, stochastic = state.statistics, config.budget.form == "stochastic"

    def act(memory: Any, inputs: PolicyInputs, key: Key[Array, "*n"]) -> tuple[Any, Float[Array, "n act"]]:
        if inputs.remaining_budget is None:
            raise ConfigError("bcrl acts under a budget: expected PolicyInputs.remaining_budget, found none.")
        seen = normalized(inputs.observation, statistics)
        least = cost_value(state.cost_value.network, seen)
        budget = jnp.minimum(inputs.remaining_budget - config.budget.budget_margin, statistics.largest_budget)
        if stochastic:
            slack = jnp.where(memory.taken == 0, budget - least, memory.slack)
            budget = jnp.minimum(slack, statistics.largest_budget) + least
        token = config.token(budget, least, statistics)
        reward = state.reward_head.network(joined(seen, token))
        safe = state.safe_head.network(seen)
        action = jnp.where((budget > least)[:, None], reward, safe)
        if stochastic:
            spent = jnp.maximum(cost_critic(state.cost_critic.target, seen, action), least) - least
            memory = SlackMemory(budget - least - spent, memory.taken + 1)
        return memory, action

    def initial(n: int) -> Any:
        return SlackMemory(jnp.zeros(n), jnp.zeros(n, jnp.int32)) if stochastic else None

    return Policy(initial=initial, act=act, keyed=True)
