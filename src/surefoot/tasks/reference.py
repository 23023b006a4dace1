"""References to functions and classes that a task names and does not import: environments, behaviors, cost rules."""

import importlib
from dataclasses import dataclass
from typing import Any, TypeAlias

from surefoot.errors import ConfigError

Argument: TypeAlias = bool | int | float | str | tuple[int, ...]


@dataclass(frozen=True)
class Reference:
    """A function or class by its import path, with keyword arguments. Hashable; imported as it is first used."""

    path: str
    """Import path "package.module:name"."""
    arguments: tuple[tuple[str, Argument], ...] = ()
    """Keyword arguments of each call, by name."""

    def load(self) -> Any:
        """The function or class. Raises `ConfigError` where there is none, and what importing its module raises."""
        module, _, name = self.path.partition(":")
        try:
            return vars(importlib.import_module(module))[name]
        except (ModuleNotFoundError, ValueError, KeyError) as error:
            if isinstance(error, ModuleNotFoundError) and not f"{module}.".startswith(f"{error.name}."):
                raise  # the module is there, and something that it imports is not
            raise ConfigError(
                f"{self.path}: expected a function or class as package.module:name, found none."
            ) from error

    def __call__(self, *positional: Any, **more: Any) -> Any:
        """Call the function or class with `arguments`.

        Args:
            positional: Positional arguments.
            more: Further keyword arguments.

        Returns:
            What it returns.
        """
        return self.load()(*positional, **dict(self.arguments), **more)
