"""Filtered datasets: DSRL's filters, a random share, good episodes. Each filter has its own request."""

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar

from surefoot.data import Dataset, filters
from surefoot.data.density import DensityGrid, density_grid
from surefoot.data.selection import naming
from surefoot.errors import option
from surefoot.experiments.data_source import Written, check_output, open_source, write_result
from surefoot.faults import Faults
from surefoot.observer import Observer
from surefoot.ranges import COUNT, NUMBER, SEED, Range
from surefoot.routes import refuse_others
from surefoot.tasks import Task


@dataclass(frozen=True, kw_only=True)
class FilterRequest(Written, ABC):
    """Base of the options of a filter."""

    @abstractmethod
    def apply(self, dataset: Dataset, task: Task) -> Dataset:
        """The filtered or changed dataset.

        Args:
            dataset: Logged episodes.
            task: Task of the data.

        Returns:
            The new dataset.
        """

    def settings(self) -> dict[str, Any]:
        """Settings of the filter for the card."""
        shared = {field.name for field in fields(Written)}
        return {name: value for name, value in vars(self).items() if name not in shared}

    def check(self, given: Collection[str]) -> None:
        """Raise `ConfigError` for options that exclude each other; `given` are those that the user named."""


@dataclass(frozen=True, kw_only=True)
class DrawingRequest(FilterRequest):
    """Base of the options of random filters."""

    seed: Annotated[int, Range(SEED)] = 0
    """Of what is drawn by chance."""


@dataclass(frozen=True, kw_only=True)
class LimitedRequest(FilterRequest):
    """Base of the options of filters that compare episodes with a cost limit."""

    cost_limit: Annotated[float | None, Range("[0, inf)")] = None
    """A sum over an episode; by default the task's strict limit."""

    def limit(self, task: Task) -> float:
        """Limit on the undiscounted cost of an episode."""
        return task.cost_limit if self.cost_limit is None else self.cost_limit


@dataclass(frozen=True, kw_only=True)
class GridRequest(DrawingRequest):
    """Base of the options of filters on the cells of a grid."""

    cost_bins: Annotated[int, Range("[1, 10000]")] = 10
    """Equal bins of the reference cost range."""
    return_bins: Annotated[int, Range("[1, 10000]")] = 50
    """Equal bins of the reference return range."""
    most: Annotated[int, Range(COUNT)] = 30
    """Episodes kept in a cell."""


@dataclass(frozen=True, kw_only=True)
class Density(GridRequest):
    """Thin crowded cells of a grid over cost return and return, and empty sparse ones."""

    share: Annotated[float | None, Range("(0, 1]")] = None
    """Take DSRL's published grid that leaves about this share of the task's episodes, instead of the other four."""
    at_least: Annotated[int, Range(NUMBER)] = 2
    """A cell with so many episodes or fewer loses all of them."""

    def check(self, given: Collection[str]) -> None:
        """Refuse options that a published grid settles; `given` are those that the user named."""
        if self.share is not None:
            taken = {field.name for field in fields(self)} - {"cost_bins", "return_bins", "most", "at_least"}
            refuse_others(self, taken, f"a published grid ({option('share')})", given=given)

    def apply(self, dataset: Dataset, task: Task) -> Dataset:
        """Episodes that the grid keeps."""
        if self.share is not None:
            grid = density_grid(task, self.share)
        else:
            grid = DensityGrid(self.cost_bins, self.return_bins, self.most, self.at_least)
        return filters.density(dataset, grid, bounds=filters.reference_bounds(dataset, task), seed=self.seed)


@dataclass(frozen=True, kw_only=True)
class Outliers(DrawingRequest, LimitedRequest):
    """Make some of the best but costly episodes look safe, with 1.5 times their reward. Faked cost returns are below
    the cost limit."""

    share: Annotated[float, Range("[0, 1]")]
    """Of the episodes with at least half of the largest cost return and of the largest return."""

    def apply(self, dataset: Dataset, task: Task) -> Dataset:
        """All episodes, some of them with false rewards and costs."""
        return filters.outliers(dataset, share=self.share, cost_limit=self.limit(task), seed=self.seed)


@dataclass(frozen=True, kw_only=True)
class Noise(DrawingRequest):
    """Add Gaussian noise to the observations."""

    scale: Annotated[float, Range("[0, inf)")]
    """Standard deviation, relative to each column's own."""

    def apply(self, dataset: Dataset, task: Task) -> Dataset:
        """All episodes, with noise on the observations."""
        return filters.noise(dataset, scale=self.scale, seed=self.seed)


@dataclass(frozen=True, kw_only=True)
class Inpaint(FilterRequest):
    """Remove the episodes in a box of cost return and return."""

    box: Annotated[tuple[float, float, float, float], Range("[0, 1]")]
    """Lowest and highest cost return, lowest and highest return, relative to the data's range, from 0 to 1."""

    def apply(self, dataset: Dataset, task: Task) -> Dataset:
        """Episodes outside the box."""
        return filters.inpaint(dataset, [self.box])


@dataclass(frozen=True, kw_only=True)
class Epsilon(LimitedRequest):
    """Remove the best safe episodes, those within the cost limit, or the best unsafe ones."""

    epsilon: Annotated[float, Range("(-inf, inf)")]
    """How near to the best return, in the task's reward units; negative: the unsafe ones."""

    def apply(self, dataset: Dataset, task: Task) -> Dataset:
        """Episodes without the best safe or unsafe ones."""
        return filters.without_best(dataset, epsilon=self.epsilon, cost_limit=self.limit(task))


@dataclass(frozen=True, kw_only=True)
class ByCost(LimitedRequest):
    """Keep the episodes whose cost return compares so with the cost limit."""

    mode: ClassVar[filters.CostMode]

    def apply(self, dataset: Dataset, task: Task) -> Dataset:
        """Episodes whose cost compares with the limit as `mode` says."""
        return filters.by_cost(dataset, self.mode, cost_limit=self.limit(task))


@dataclass(frozen=True, kw_only=True)
class Safe(ByCost):
    """Keep the episodes within the cost limit (BC-Safe)."""

    mode = "safe"


@dataclass(frozen=True, kw_only=True)
class Risky(ByCost):
    """Keep the episodes of at least twice the cost limit."""

    mode = "risky"


@dataclass(frozen=True, kw_only=True)
class Boundary(ByCost):
    """Keep the episodes of half to 1.5 times the cost limit."""

    mode = "boundary"


@dataclass(frozen=True, kw_only=True)
class Frontier(FilterRequest):
    """Keep the highest returns in each bin of the cost return."""

    cost_bins: Annotated[int, Range("[1, 10000]")] = 20
    """Equal bins of the data's own cost range."""
    most: Annotated[int, Range(COUNT)] = 1
    """Episodes kept in a bin."""

    def apply(self, dataset: Dataset, task: Task) -> Dataset:
        """The best episodes at each cost."""
        return filters.by_cost(dataset, "frontier", cost_bins=self.cost_bins, most=self.most)


@dataclass(frozen=True, kw_only=True)
class Subset(DrawingRequest):
    """Keep a random share of the episodes."""

    share: Annotated[float, Range("(0, 1]")]
    """Of the episodes, above 0 and at most 1. With one seed a smaller share is part of a larger one."""

    def apply(self, dataset: Dataset, task: Task) -> Dataset:
        """A random share of the episodes."""
        return filters.subset(dataset, share=self.share, seed=self.seed)


@dataclass(frozen=True, kw_only=True)
class Imitation(GridRequest):
    """Keep good episodes, at most so many in each cell of a grid over cost return and return."""

    return_at_least: Annotated[float, Range("(-inf, inf)")]
    """Smallest return of an episode, in the task's reward units."""

    @property
    def grid(self) -> DensityGrid:
        """The grid, of which no cell is emptied."""
        return DensityGrid(self.cost_bins, self.return_bins, self.most)

    def settings(self) -> dict[str, Any]:
        """Settings for the card, with the grid as one entry."""
        return {"return_at_least": self.return_at_least, "grid": vars(self.grid), "seed": self.seed}

    def apply(self, dataset: Dataset, task: Task) -> Dataset:
        """Good episodes, at most so many in each cell."""
        bounds = filters.reference_bounds(dataset, task)
        return filters.imitation(
            dataset, return_at_least=self.return_at_least, grid=self.grid, bounds=bounds, seed=self.seed
        )


FILTERS: dict[str, type[FilterRequest]] = {
    "density": Density, "outliers": Outliers, "noise": Noise, "inpaint": Inpaint, "epsilon": Epsilon, "safe": Safe,
    "risky": Risky, "boundary": Boundary, "frontier": Frontier,
}  # fmt: skip
"""DSRL's filters by name."""


def filter_data(
    request: FilterRequest,
    what: str,
    observer: Observer,
    *,
    given: Collection[str] = (),
    faults: Faults | None = None,
) -> None:
    """Write the dataset that a filter makes.

    Args:
        request: The filter, its source and its target.
        what: Name of the filter on the card.
        observer: Receives remarks.
        given: Options that the user named.
        faults: Faults of the options found so far.

    Raises:
        ConfigError: The options cannot be used.
        DataError: The data cannot be read or written.
    """
    with faults or Faults() as gathered:
        with gathered.also():
            request.check(given)
        check_output(request.out, overwrite=request.overwrite)
    opened = open_source(request, observer)
    with naming(opened.path):
        result = request.apply(opened.dataset, opened.task)
    write_result(request.out, result, opened, what, request.settings(), observer)
