"""TREBI's decision: candidates are sampled for all environments at once, and one is chosen for each."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from surefoot.algorithms.trebi.segments import Normalizer
from surefoot.diffusion.clean import Steps
from surefoot.errors import ConfigError
from surefoot.nn import TemporalUNet
from surefoot.planning import GuideConfig, choose_plan, sample_segments
from surefoot.planning.noise import normal_rows, split
from surefoot.types import Policy, PolicyInputs

ValuesOf = Callable[
    [Float[Array, "b H d"], Float[Array, " 1"], Float[Array, " b"]], tuple[Float[Array, " b"], Float[Array, " b"]]
]
"""From (noisy segments, diffusion time, share of the episode left) to reward and cost to come."""


class Plan(NamedTuple):
    """Planned actions and observations of n environments, in the environment's units."""

    observations: Float[Array, "n H obs"]
    """Planned observations; the first is the present one."""
    actions: Float[Array, "n H act"]
    """Planned actions, in [-1, 1]."""
    reward: Float[Array, " n"]
    """Predicted reward to the end of the episode, discounted as the rewards are."""
    cost: Float[Array, " n"]
    """Predicted cost to the end of the episode, in units of the budget."""
    budget: Float[Array, " n"]
    """The budget less the margin, which `cost` was compared with."""


class Memory(NamedTuple):
    """Memory of the planning policy in n environments."""

    segments: Float[Array, "n H d"]
    """The plan under execution, normalized."""
    age: Int[Array, " n"]
    """Actions of the plan executed so far."""
    step: Int[Array, " n"]
    """Environment steps taken so far."""
    fresh: Bool[Array, " n"]
    """Whether there is no plan yet."""


def empty_memory(count: int, plan_horizon: int, width: int, *, age: int) -> Memory:
    """Memory at the start of an episode.

    Args:
        count: Environments n.
        plan_horizon: Steps H of a plan.
        width: Numbers d of a segment's step.
        age: Actions executed of each plan before the next is made.

    Returns:
        Memory in which a plan is due.
    """
    return Memory(
        segments=jnp.zeros((count, plan_horizon, width)),
        age=jnp.full(count, age, jnp.int32),
        step=jnp.zeros(count, jnp.int32),
        fresh=jnp.ones(count, bool),
    )


def make_plan(
    model: TemporalUNet,
    values: ValuesOf,
    observation: Float[Array, "n obs"],
    budget: Float[Array, " n"],
    share_left: Float[Array, " n"],
    key: Key[Array, "*n"],
    memory: Memory,
    *,
    normalizer: Normalizer,
    steps: Steps,
    candidates: int,
    guide: GuideConfig,
    warm_steps: int,
    rescore: bool,
) -> tuple[Memory, Plan]:
    """Sample candidate segments for each of n environments and choose one.

    Args:
        model: Denoises segments.
        values: Reward and cost to come of segments.
        observation: Present observations, [n, obs].
        budget: Budget less the margin, [n].
        share_left: Share of the episode that the values are asked about, [n].
        key: One key, or one for each environment [n].
        memory: Memory of the policy.
        normalizer: Normalization of the data.
        steps: Coefficients of the sampler's steps.
        candidates: Segments an environment.
        guide: How values guide the samples.
        warm_steps: Denoising steps that are skipped by starting from the last plan; 0: start from noise.
        rescore: Choose by values of the finished segments, not by the last ones of the guide.

    Returns:
        (memory with the chosen segments, plans).
    """
    count, action_dim = observation.shape[0], model.action_dim
    k_start, k_steps = split(key)
    start = (observation - normalizer.mean[None, action_dim:]) / normalizer.deviation[None, action_dim:]
    start, row_budget, row_left = (jnp.repeat(values, candidates, axis=0) for values in (start, budget, share_left))
    noise = normal_rows(k_start, (count * candidates, *memory.segments.shape[1:]))
    previous = _moved_on(memory) if warm_steps else None

    def at(x: Float[Array, "b H d"], t: Float[Array, " 1"]) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
        return values(x, t, row_left)

    deviation = normalizer.target_deviation
    sampled = sample_segments(
        model, at, noise, start, row_budget, k_steps,
        steps=steps,
        guide_config=guide,
        spread=(deviation[0], deviation[1]),
        warm_steps=warm_steps,
        previous=None if previous is None else jnp.repeat(previous, candidates, axis=0),
        fresh=jnp.repeat(memory.fresh, candidates),
        last_values=not rescore,
    )  # fmt: skip
    reward, cost = at(sampled.segments, jnp.zeros(1)) if rescore else (sampled.reward, sampled.cost)
    reward, cost = reward.reshape(count, candidates), cost.reshape(count, candidates)
    chosen = choose_plan(reward, cost, budget)[:, None]
    segments = sampled.segments.reshape(count, candidates, *noise.shape[1:])
    segments = jnp.take_along_axis(segments, chosen[:, :, None, None], axis=1)[:, 0]
    raw = segments * normalizer.deviation[None, None] + normalizer.mean[None, None]
    plan = Plan(
        observations=raw[..., action_dim:],
        actions=jnp.clip(raw[..., :action_dim], -1.0, 1.0),
        reward=jnp.take_along_axis(reward, chosen, axis=1)[:, 0],
        cost=jnp.take_along_axis(cost, chosen, axis=1)[:, 0],
        budget=budget,
    )
    return memory._replace(segments=segments, age=jnp.zeros_like(memory.age), fresh=jnp.zeros_like(memory.fresh)), plan


def planning_policy(
    plan: Callable[..., Memory],
    normalizer: Normalizer,
    *,
    action_dim: int,
    plan_horizon: int,
    control_interval: int,
) -> Policy:
    """Policy that executes `control_interval` actions of each plan, then makes the next.

    Args:
        plan: (observation [n, obs], remaining_budget [n], step [n], key, memory) -> memory with new plans.
        normalizer: Normalization of the data.
        action_dim: Dimensions of an action.
        plan_horizon: Steps of a plan.
        control_interval: Actions executed of each plan.

    Returns:
        The policy; it requires `PolicyInputs.remaining_budget`, and counts steps where the inputs have none.
    """

    def act(memory: Memory, inputs: PolicyInputs, key: Key[Array, "*n"]) -> tuple[Memory, Float[Array, "n act"]]:
        if inputs.remaining_budget is None:
            raise ConfigError("trebi plans under a budget: expected PolicyInputs.remaining_budget, found none.")
        step = memory.step if inputs.step is None else inputs.step
        due = memory.age >= control_interval

        def replan(memory: Memory) -> Memory:
            new = plan(inputs.observation, inputs.remaining_budget, step, key, memory)
            if control_interval == 1:
                return new
            pick = lambda a, b: jnp.where(due.reshape(-1, *[1] * (a.ndim - 1)), a, b)  # noqa: E731
            return jax.tree.map(pick, new, memory._replace(step=step))

        memory = replan(memory) if control_interval == 1 else jax.lax.cond(due.any(), replan, lambda old: old, memory)
        actions = current_actions(memory, normalizer, action_dim=action_dim)
        return memory._replace(age=memory.age + 1, step=step + 1), actions

    width = normalizer.mean.shape[0]
    return Policy(initial=lambda n: empty_memory(n, plan_horizon, width, age=control_interval), act=act, keyed=True)


def stretched(
    share_left: Float[Array, " n"], *, longest: Float[Array, ""], plan_horizon: int
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """The share of the episode to ask the values about, and the factor that the budget is worth there.

    No segment of the data starts closer to the time limit than its own length. Closer to it, the values of such a
    segment are spread evenly over its steps: a budget for fewer steps is worth more by their ratio.

    Args:
        share_left: Share of the episode that is left, in [0, 1], [n].
        longest: Longest episode, in environment steps.
        plan_horizon: Steps of a plan.

    Returns:
        (share, factor >= 1), each [n].
    """
    shortest = plan_horizon / longest
    stretch = jnp.maximum(shortest / jnp.maximum(share_left, 1.0 / longest), 1.0)
    return jnp.maximum(share_left, shortest), stretch


def current_actions(memory: Memory, normalizer: Normalizer, *, action_dim: int) -> Float[Array, "n act"]:
    """Actions of the plans that are due, in [-1, 1].

    Args:
        memory: Memory of the policy.
        normalizer: Normalization of the data.
        action_dim: Dimensions of an action.

    Returns:
        Actions, [n, act].
    """
    raw = jnp.take_along_axis(memory.segments, memory.age[:, None, None], axis=1)[:, 0, :action_dim]
    return jnp.clip(raw * normalizer.deviation[None, :action_dim] + normalizer.mean[None, :action_dim], -1.0, 1.0)


def _moved_on(memory: Memory) -> Float[Array, "n H d"]:
    """The plans from where they have got to, their last steps repeated at the end."""
    last = memory.segments.shape[1] - 1
    places = jnp.minimum(jnp.arange(last + 1)[None] + memory.age[:, None], last)
    return jnp.take_along_axis(memory.segments, places[:, :, None], axis=1)
