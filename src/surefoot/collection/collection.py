"""A collection as a value: task, recipe, seed and store, and its progress."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Annotated, Any, NamedTuple

from surefoot.checkpoint import as_json
from surefoot.collection.recipes import Recipe
from surefoot.collection.store import Store
from surefoot.envs.vector import VectorEnv
from surefoot.ranges import SEED, Range, Ranged, Relation
from surefoot.tasks import Task

Opener = Callable[[], AbstractContextManager[VectorEnv]]
"""Opens `recipe.lanes` simulators of the task."""


class Progress(NamedTuple):
    """Progress of a collection."""

    done: int
    """Environment steps."""
    total: int
    phase: str


@dataclass(frozen=True)
class Collection(Ranged):
    """A collection of a simulated task's data."""

    task: Task
    recipe: Recipe
    seed: Annotated[int, Range(SEED)]
    """Seed of all randomness: learners, actions, starts of episodes, density filter."""
    transitions: Annotated[int, Range("[1, 10^9]")]
    """Rows that the file should hold at least."""
    store: Store

    def _relations(self) -> Iterator[Relation]:
        expected = f"expected scripted = 0 for {self.task.name}, which has no scripted drivers"
        good = self.recipe.scripted == 0.0 or self.task.driver is not None
        yield Relation(good, "recipe", f"{expected}, found {self.recipe.scripted}")

    @property
    def identity(self) -> dict[str, Any]:
        """Values that must stay equal for a collection to be resumed. The number of wanted rows may differ."""
        recipe = asdict(self.recipe)
        if self.recipe.scripted == 0.0:
            del recipe["scripted"]  # collections of before there were scripted drivers go on
        return as_json({"task": self.task.name, "seed": self.seed, "recipe": recipe})
