"""A collection as a value: what is to be collected, where it lies meanwhile, and how far it is."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Annotated, Any, NamedTuple

from surefoot.checkpoint import as_json
from surefoot.collection.recipes import Recipe
from surefoot.collection.store import Store
from surefoot.envs.vector import VectorEnv
from surefoot.errors import ConfigError
from surefoot.ranges import SEED, Range, check_fields
from surefoot.tasks import Task

Opener = Callable[[], AbstractContextManager[VectorEnv]]
"""Opens `recipe.lanes` simulators of the task."""


class Progress(NamedTuple):
    """How far a collection is."""

    done: int
    """Environment steps."""
    total: int
    phase: str


@dataclass(frozen=True)
class Collection:
    """What is to be collected, and where it lies meanwhile."""

    task: Task
    recipe: Recipe
    seed: Annotated[int, Range(SEED)]
    """Of all randomness: learners, actions, starts of episodes, thinning."""
    transitions: Annotated[int, Range("[1, 10^9]")]
    """Rows that the file should hold at least."""
    store: Store

    def __post_init__(self) -> None:
        check_fields(self)
        if self.recipe.scripted > 0.0 and self.task.driver is None:
            raise ConfigError(
                f"recipe: expected scripted = 0 for {self.task.name}, which has no scripted drivers, found "
                f"{self.recipe.scripted}."
            )

    @property
    def identity(self) -> dict[str, Any]:
        """What must be the same for a collection to be gone on with. Rows wanted may differ: they come last."""
        recipe = asdict(self.recipe)
        if self.recipe.scripted == 0.0:
            del recipe["scripted"]  # collections of before there were scripted drivers go on
        return as_json({"task": self.task.name, "seed": self.seed, "recipe": recipe})
