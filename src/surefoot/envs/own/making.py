"""Making of the environment that a task names, with one-sentence errors."""

import os
import sys
import warnings
from typing import Any, Protocol, runtime_checkable

import gymnasium

from surefoot.errors import ConfigError, SimulatorError
from surefoot.tasks.read_task_file import TaskFileReader
from surefoot.tasks.reference import Reference
from surefoot.tasks.task_file import TaskFile

_SHOWN = 160


@runtime_checkable
class PureFunctions(Protocol):
    """An environment of pure JAX functions in gymnax's manner, such as those of gymnax and target-gym."""

    @property
    def default_params(self) -> Any: ...
    def reset_env(self, key: Any, params: Any) -> tuple[Any, Any]: ...
    def step_env(self, key: Any, state: Any, action: Any, params: Any) -> tuple[Any, Any, Any, Any, Any]: ...
    def action_space(self, params: Any) -> Any: ...
    def observation_space(self, params: Any) -> Any: ...


class EnvironmentFault(SimulatorError):
    """A fault of an environment: the key of the task file that it does not fit, expected and found."""

    def __init__(self, task: str, key: tuple[str | int, ...], sentence: str) -> None:
        dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).removeprefix(".")
        super().__init__(f"task {task}: {dotted}: {sentence}.")
        self.key, self.sentence = key, sentence


MAKE = ("environment", "make")


def brief(error: BaseException) -> str:
    """Kind and message of an error, in one line."""
    words = " ".join(str(error).split()).rstrip(".").replace(". ", "; ")
    return f"{type(error).__name__}: {words:.{_SHOWN}}" if words else type(error).__name__


def load_from_here(reference: Reference) -> Any:
    """The function or class of a user's reference.

    Modules of the present folder are found, behind installed ones. Warnings of the import are not shown. Raises
    `ConfigError`, "expected ..., found ...".
    """
    if (here := os.getcwd()) not in sys.path:
        sys.path.append(here)
    expected = "a module and a function or class in it"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what other packages lack: a user's own modules import them
            return reference.load()
    except ConfigError as error:
        raise ConfigError(f"expected {expected}, found no {reference.path}") from error
    except Exception as error:
        raise ConfigError(
            f"expected {expected}, found a fault in importing {reference.path} ({brief(error)})"
        ) from error


def check_maker(file: TaskFile, reader: TaskFileReader) -> None:
    """Refuse a task file whose environment's maker does not exist; nothing is made.

    Args:
        file: The task file.
        reader: Its reader, which words the error.

    Raises:
        ConfigError: There is no such maker.
    """
    if file.environment is None:
        return
    make = file.environment.make
    if ":" in make:
        try:
            load_from_here(Reference(make))
        except ConfigError as error:
            reader.refuse(MAKE, str(error))
        return
    try:
        gymnasium.spec(make)
    except gymnasium.error.Error as error:
        found = " ".join(str(error).split()).rstrip(".").replace(". ", "; ")
        reader.refuse(MAKE, f"expected the id of an environment, found none ({found:.200})")


def make_environment(task: str, reference: Reference, *, draws: bool = False) -> gymnasium.Env[Any, Any]:
    """The environment of a task, as its maker returns it.

    Args:
        task: Name of the task, for messages.
        reference: The maker with its arguments.
        draws: Whether pictures are asked for.

    Returns:
        The environment.

    Raises:
        EnvironmentFault: The maker fails, or returns another object.
    """
    arguments: dict[str, Any] = {"render_mode": "rgb_array"} if draws else {}
    if reference.path == "gymnasium:make":
        arguments["disable_env_checker"] = True  # what it would warn of is checked here
    named = dict(reference.arguments).get("id", reference.path)
    try:
        load_from_here(reference)
        found = reference(**arguments)
    except ConfigError as error:
        raise EnvironmentFault(task, MAKE, str(error)) from error
    except Exception as error:  # whatever a stranger's code raises
        raise EnvironmentFault(task, MAKE, f"expected an environment of {named}, found {brief(error)}") from error
    return as_gymnasium(found, task, str(named))


def as_gymnasium(found: Any, task: str, named: str) -> gymnasium.Env[Any, Any]:
    """A maker's result as a Gymnasium environment.

    Args:
        found: The result.
        task: Name of the task, for messages.
        named: Name of the maker, for messages.

    Returns:
        The environment.

    Raises:
        EnvironmentFault: The result is no environment.
    """
    if isinstance(found, gymnasium.Env):
        return found
    if isinstance(found, PureFunctions):
        from surefoot.envs.own.pure_functions import PureFunctionsEnv  # imports JAX

        return PureFunctionsEnv(found)
    raise EnvironmentFault(task, MAKE, f"expected a gymnasium.Env of {named}, found {type(found).__name__}")
