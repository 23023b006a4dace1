"""A control loop of a policy: budget, memory and noise, which change from step to step, beside the policy, which does
not."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, Protocol

import jax
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from surefoot.constraints.budgets import BudgetState, check_budgets, check_remaining, pay, remaining_budget
from surefoot.errors import ConfigError
from surefoot.numerics import pinned
from surefoot.protocols import Algorithm, PlansUnderBudget
from surefoot.ranges import check_count
from surefoot.tasks.action_units import ActionUnits, AppliedActions
from surefoot.training.acting import numbers_of
from surefoot.training.run_config import RunConfig
from surefoot.types import ActionBounds

Margins = Callable[[Float[np.ndarray, "n t"]], Float[np.ndarray, "n t"]]
"""From the episode's budget as known at each step [n, T] to what a planner subtracts from it [n, T]."""


class SessionPolicy(Protocol):
    """Members of a policy that a session uses; a `LoadedPolicy` has them."""

    algorithm: Algorithm
    state: Any
    config: RunConfig

    @property
    def needs_budget(self) -> bool: ...

    def checked(self, observation: Any, /) -> np.ndarray: ...

    def act_in_session(
        self, memory: Any, observation: Float[np.ndarray, "n obs"], left: Float[np.ndarray, " n"] | None,
        step: np.int32, key: Array, reward: Float[np.ndarray, " n"] | None,
        applied: Float[np.ndarray, "n act"] | None, within: ActionBounds | None, /,
    ) -> tuple[Any, Float[Array, "n act"]]: ...  # fmt: skip

    def finite(self, name: str, outputs: Any, rows: np.ndarray, /) -> np.ndarray: ...


class ControlSession:
    """One episode of one environment, or one of each of n that step together. Made by `LoadedPolicy.session`.

        session = policy.session(budget=30.0)
        session.warm_up()  # compile before the loop
        while not done:
            action = session.act(observation)
            observation, reward, ... = environment.step(action)
            session.pay(cost)

    It is one episode, in order: one thread at a time, or `ConfigError`; each thread has a session of its own. It cannot
    go to another process.

    Budgets are in the units in which the algorithm plans: plain costs where its `budget_discount` is 1. Actions are in
    [-1, 1]; of a task file, in the plant's units, within its bounds and, from step to step, its rates.
    """

    def __init__(
        self, policy: SessionPolicy, budget: ArrayLike | None, *, key: Array, margins: Margins | None = None
    ) -> None:
        self._policy, self._key, self._find_margins = policy, numbers_of(key), margins
        if policy.needs_budget:
            self._total = check_budgets(budget, name="budget")
        elif budget is not None:
            raise ConfigError(f"budget: algorithm '{policy.config.algorithm}' plans under no budget; leave it out.")
        else:
            self._total = np.asarray(np.inf)
        if self._total.ndim > 1 or self._total.size == 0:
            raise ConfigError(f"budget: expected one number or a list, found the shape {list(self._total.shape)}.")
        self._count: int | None = None if self._total.ndim == 0 and not policy.needs_budget else self._total.size
        self._memory: Any = None
        self._budget = BudgetState(np.zeros(self._total.size), np.ones(self._total.size))
        self._margins = self._margins_now()
        file = None if policy.config.task_file is None else policy.config.known_task().file
        self._units, self._rates = None if file is None else ActionUnits.of(file.action), ActionUnits.with_rates(file)
        self._applied: AppliedActions | None = None
        self._reward: np.ndarray | None = None
        self.steps = 0
        """Actions taken since the episode began."""
        self._lock = threading.Lock()

    def __reduce__(self) -> NoReturn:
        raise ConfigError("session: expected to stay in its process; hand over the policy, and begin a session there.")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Refuse a second thread. To wait would be no help: two loops would share one memory and one budget."""
        if not self._lock.acquire(blocking=False):
            raise ConfigError(
                "session: expected one thread at a time, found another in the middle of a call; a session is one "
                "episode, in order: give each thread its own."
            )
        try:
            yield
        finally:
            self._lock.release()

    @property
    def remaining(self) -> Float[np.ndarray, "*n"]:
        """Budget that is left, [*n], in the algorithm's units at this step; below 0 where it is overspent. No margin is
        subtracted."""
        left = np.asarray(remaining_budget(self._budget, self._total.reshape(-1)))
        return left.reshape(self._total.shape)

    @pinned()
    def act(self, observation: Any) -> Float[np.ndarray, "*n act"]:
        """Actions of the next step. A call that raises does not count as a step.

        Args:
            observation: One [obs], or one for each environment [n, obs].

        Returns:
            Actions, [act] or [n, act], in [-1, 1], or in the plant's units for a task file.

        Raises:
            ConfigError: An observation has the wrong shape or is not finite, or another thread is in a call.
            OutputError: The networks overflow.
        """
        with self._alone():
            return self._act(observation)

    @pinned()
    def warm_up(self, num_envs: int | None = None) -> float:
        """Compile the first step, so that no step of the loop is slow; the episode does not change.

        Args:
            num_envs: Environments that will step together; None: as many as there are budgets, or one.

        Returns:
            Seconds that it took.
        """
        with self._alone():
            count = (self._count or 1) if num_envs is None else num_envs
            check_count(count, "num_envs", "[1, 2^20]")
            if self._count not in (None, count):
                raise ConfigError(f"num_envs: expected {self._count}, as there are in this session, found {count}.")
            began, spec = time.perf_counter(), self._policy.config.spec
            seen = np.zeros((count, spec.observation_dim), np.float32 if spec.image_shape is None else np.uint8)
            left = np.zeros(count, np.float32) if self._policy.needs_budget else None
            memory = self._policy.algorithm.policy(self._policy.state).initial(count)
            given = memory, seen, left, np.int32(0), self._key, left, *self._limits(count)
            jax.block_until_ready(self._policy.act_in_session(*given))
            return time.perf_counter() - began

    def _act(self, observation: Any) -> Float[np.ndarray, "*n act"]:
        rows = self._policy.checked(observation)
        batch = rows.reshape(-1, rows.shape[-1])
        self._count = len(batch) if self._count is None else self._count
        if len(batch) != self._count:
            raise ConfigError(f"observation: expected {self._count} of them in this session, found {len(batch)}.")
        if self._memory is None:
            self._memory = self._policy.algorithm.policy(self._policy.state).initial(len(batch))
        left = None
        if self._policy.needs_budget:
            margin = self._margins[:, min(self.steps, self._margins.shape[1] - 1)]
            left = (self.remaining.reshape(-1) - margin).astype(np.float32)
        reward = None if left is None else self._last_reward()
        step = np.int32(self.steps)
        given = self._memory, batch, left, step, self._key, reward, *self._limits(len(batch))
        memory, actions = self._policy.act_in_session(*given)
        checked = self._policy.finite("action", actions, batch)
        self._memory, self._reward = memory, None
        self.steps += 1
        if self._rates is not None:
            self._applied = self._applied or AppliedActions(self._rates, len(batch))
            self._applied.take(checked, np.full(len(batch), step == 0))
            checked = self._applied.physical
        elif self._units is not None:
            checked = self._units.limited(self._units.physical(checked), None)
        return checked.reshape(*rows.shape[:-1], -1)

    def _last_reward(self) -> Float[np.ndarray, " n"]:
        return np.zeros(self._total.size, np.float32) if self._reward is None else self._reward

    def _limits(self, count: int) -> tuple[Float[np.ndarray, "n act"] | None, ActionBounds | None]:
        """The applied actions of the step before in [-1, 1], and the bounds of what will be applied as it is; None
        without rate limits."""
        if self._rates is None:
            return None, None
        applied = self._applied or AppliedActions(self._rates, count)
        low, high = applied.bounds(np.full(count, self._applied is None))
        return applied.normalized, ActionBounds(low, high)  # pyright: ignore[reportArgumentType]

    def pay(self, cost: ArrayLike, reward: ArrayLike = 0.0) -> None:
        """Subtract the cost of the last step from the budget.

        Args:
            cost: Cost >= 0, one number or one for each environment.
            reward: Reward of the step, for a policy whose target return falls by it; others do not read it.

        Raises:
            ConfigError: A number is negative or not finite, or there is another number of them.
        """
        costs, rewards = check_remaining(cost, name="cost"), check_remaining(reward, name="reward")
        if not np.isfinite(rewards).all() or rewards.shape not in ((), self._total.shape):
            raise ConfigError(f"reward: expected a finite number for each budget, found {rewards.tolist()}.")
        if not np.isfinite(costs).all() or costs.shape not in ((), self._total.shape):
            raise ConfigError(f"cost: expected a finite number for each budget, found {costs.tolist()}.")
        if (costs < 0).any():
            raise ConfigError(f"cost: expected at least 0, found {costs.min():g}.")
        algorithm = self._policy.algorithm
        discount = algorithm.budget_discount if isinstance(algorithm, PlansUnderBudget) else 1.0
        spread = np.broadcast_to(costs, self._total.shape).reshape(-1)
        with self._alone():
            state = pay(self._budget, spread, discount=discount)
            self._budget = BudgetState(np.asarray(state.spent), np.asarray(state.weight))
            self._reward = np.broadcast_to(rewards, self._total.shape).reshape(-1).astype(np.float32)

    def change_budget(self, budget: ArrayLike) -> None:
        """Change the budget of the whole episode; costs so far count.

        Args:
            budget: Budget >= 0, one number or one for each environment.

        Raises:
            ConfigError: The budget cannot be used, or there is another number of them.
        """
        total = check_budgets(budget, name="budget")
        if total.shape not in ((), self._total.shape):
            raise ConfigError(
                f"budget: expected one number or the shape {list(self._total.shape)}, found {list(total.shape)}."
            )
        with self._alone():
            self._total = np.broadcast_to(total, self._total.shape)
            self._margins = self._margins_now()

    def _margins_now(self) -> Float[np.ndarray, "n t"]:
        totals = np.repeat(self._total.reshape(-1, 1), self._policy.config.spec.horizon, 1)
        return np.zeros_like(totals) if self._find_margins is None else self._find_margins(totals)
