"""Controllers that write logs: a user's function, the environment's own PID, or random actions."""

import inspect
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, runtime_checkable

import gymnasium
import numpy as np
from jaxtyping import Float

from surefoot.envs.own.making import brief, load_from_here
from surefoot.errors import ConfigError
from surefoot.tasks.action_units import ActionUnits
from surefoot.tasks.reference import Reference

RANDOM, PID = "random", "pid"
LONGEST_HOLD = 10
"""Most steps for which a random action is held."""

Controller: TypeAlias = Callable[[Float[np.ndarray, " obs"]], Any]
"""Observation, in the order of the task file's columns -> action, in the plant's units."""
Begin: TypeAlias = Callable[[np.random.Generator], Controller]
"""Begins an episode."""


@runtime_checkable
class HasPid(Protocol):
    """An environment that brings a PID of its own, as target-gym's do."""

    def make_pid(self) -> Any: ...


@runtime_checkable
class HasFunctions(Protocol):
    """A `PureFunctionsEnv`, recognized by its attributes, as importing it would import JAX."""

    functions: Any


def controller(policy: str, env: gymnasium.Env[Any, Any], units: ActionUnits) -> Begin:
    """The controller that a policy's name stands for.

    Args:
        policy: "random", "pid", or "module:function", which is called with the observation, and with NumPy's generator
            where it takes two arguments; a class is instantiated for each episode.
        env: The environment.
        units: Ranges of the actions, in the plant's units.

    Returns:
        Function that begins an episode.

    Raises:
        ConfigError: There is no such policy.
    """
    if policy == RANDOM:
        return lambda random: _random(units, random)
    if policy == PID:
        return _pid(env)
    if ":" not in policy:
        raise ConfigError(f"policy: expected {RANDOM}, {PID} or module:function, found {policy:.60}.")
    try:
        found = load_from_here(Reference(policy))
    except ConfigError as error:
        raise ConfigError(f"policy {policy:.60}: {error}.") from error
    if not callable(found):
        raise ConfigError(f"policy {policy:.60}: expected a function or a class, found {type(found).__name__}.")
    if isinstance(found, type):
        return lambda random: _with_random(found(random) if _arguments(found) else found(), random)
    return lambda random: _with_random(found, random)


def chosen(act: Controller, observation: np.ndarray, *, width: int, policy: str) -> Float[np.ndarray, " act"]:
    """The action that a controller chooses.

    Args:
        act: The controller.
        observation: Observation, [obs].
        width: Numbers of an action.
        policy: Name of the policy, for messages.

    Returns:
        Action in the plant's units, [act].

    Raises:
        ConfigError: The controller fails, or gives other than finite numbers.
    """
    try:
        action = act(observation)
    except Exception as error:  # whatever a user's code raises
        raise ConfigError(f"policy {policy:.60}: expected an action, found {brief(error)}.") from error
    try:
        numbers = np.asarray(action, np.float64).reshape(-1)
    except (TypeError, ValueError):
        numbers = np.zeros(0)
    if len(numbers) != width or not np.isfinite(numbers).all():
        raise ConfigError(f"policy {policy:.60}: expected {width} finite numbers, found {action!r:.80}.")
    return numbers


def _with_random(act: Any, random: np.random.Generator) -> Controller:
    return (lambda observation: act(observation, random)) if _arguments(act) > 1 else act


def _arguments(function: Any) -> int:
    """How many arguments without a default it takes by place."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # of a builtin nothing is known
        return 1
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(one.kind in places and one.default is inspect.Parameter.empty for one in parameters)


def _random(units: ActionUnits, random: np.random.Generator) -> Controller:
    """Uniform actions, each held for a few steps."""
    action, left = units.low, 0

    def act(_: np.ndarray) -> np.ndarray:
        nonlocal action, left
        if not left:
            action, left = random.uniform(units.low, units.high), int(random.integers(1, LONGEST_HOLD + 1))
        left -= 1
        return action

    return act


def _pid(env: gymnasium.Env[Any, Any]) -> Begin:
    inner = env.unwrapped
    source: Any = inner.functions if isinstance(inner, HasFunctions) else inner
    if not isinstance(source, HasPid):
        raise ConfigError(
            f"policy {PID}: expected an environment that brings its own, make_pid(), as target-gym's do, found "
            f"{type(source).__name__} without; write a function and name it as module:function."
        )
    return lambda random: source.make_pid()
