"""DSRL's filters on random episodes: what each keeps, what it changes, and that the seed alone decides."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.data import Dataset, filters
from surefoot.data.density import DENSITY_GRIDS, DensityGrid, density_grid
from surefoot.errors import ConfigError, DataError
from surefoot.tasks import get_task

Episode = tuple[int, int, int]
"""Length, cost return and return, whole numbers."""


def dataset_of(episodes: list[Episode], *, tail: int = 2) -> Dataset:
    """Episodes of these sums, each put on its first step; the first observation numbers the episode."""
    rows = sum(length for length, _, _ in episodes) + tail
    ends = np.cumsum([length for length, _, _ in episodes]) - 1
    rewards, costs = np.zeros(rows, np.float32), np.zeros(rows, np.float32)
    truncated = np.zeros(rows, bool)
    truncated[ends] = True
    firsts = np.concatenate([[0], ends[:-1] + 1])
    costs[firsts], rewards[firsts] = ([part[index] for part in episodes] for index in (1, 2))
    path = np.arange(2 * (rows + 1), dtype=np.float32).reshape(-1, 2)
    return Dataset(
        "Test", path[:-1], np.tile(np.array([0.5, -0.5], np.float32), (rows, 1)), rewards, costs, path[1:],
        np.zeros(rows, bool), truncated,
    )  # fmt: skip


def names(dataset: Dataset) -> list[int]:
    """The first observation of every episode, which tells them apart."""
    return dataset.observations[dataset.episode_starts, 0].astype(int).tolist()


episodes_strategy = st.lists(
    st.tuples(st.integers(1, 4), st.integers(0, 20), st.integers(-10, 30)), min_size=1, max_size=30
)
GRID = DensityGrid(4, 3, most=2, at_least=1)
BOUNDS = (0.0, 20.0, -10.0, 30.0)

FILTERS: dict[str, Callable[[Dataset, int], Dataset]] = {
    "density": lambda data, seed: filters.density(data, DensityGrid(4, 3, 2), bounds=BOUNDS, seed=seed),
    "outliers": lambda data, seed: filters.outliers(data, share=0.5, cost_limit=5.0, seed=seed),
    "noise": lambda data, seed: filters.noise(data, scale=0.1, seed=seed),
    "subset": lambda data, seed: filters.subset(data, share=0.5, seed=seed),
    "imitation": lambda data, seed: filters.imitation(
        data, return_at_least=-10.0, grid=DensityGrid(2, 2, 3), bounds=BOUNDS, seed=seed
    ),
    "frontier": lambda data, seed: filters.by_cost(data, "frontier", cost_bins=3),
    "without_best": lambda data, seed: filters.without_best(data, epsilon=0.0, cost_limit=5.0),
}


@pytest.mark.parametrize("name", FILTERS)
@settings(max_examples=40, deadline=None)
@given(episodes=episodes_strategy, seed=st.integers(0, 2**31 - 1))
def test_filters_are_functions_of_data_and_seed(name: str, episodes: list[Episode], seed: int) -> None:
    """Twice the same, nothing done to what came in, whole episodes in their order, no unfinished one."""
    dataset = dataset_of(episodes)
    before = dataset.fingerprint()
    first, second = (FILTERS[name](dataset, seed) for _ in range(2))
    assert first.fingerprint() == second.fingerprint()
    assert dataset.fingerprint() == before
    assert len(first) == first.lengths.sum()
    if name != "noise":  # which changes what the names are read from
        assert names(first) == sorted(names(first))
        assert set(names(first)) <= set(names(dataset))


@settings(max_examples=100, deadline=None)
@given(episodes=episodes_strategy, seed=st.integers(0, 1000))
def test_density_leaves_full_cells_with_the_most_and_sparse_ones_with_none(episodes: list[Episode], seed: int) -> None:
    dataset = dataset_of(episodes)
    cells = filters.grid_cells(dataset, GRID.cost_bins, GRID.return_bins, bounds=BOUNDS)
    counts = np.bincount(cells, minlength=12)
    # More than one in a cell: at most two stay. One: it goes.
    expected = np.where(counts > 1, np.minimum(counts, 2), 0)
    if not expected.any():
        with pytest.raises(DataError, match="expected at least one episode to be left"):
            filters.density(dataset, GRID, bounds=BOUNDS, seed=seed)
        return
    thinned = filters.density(dataset, GRID, bounds=BOUNDS, seed=seed)
    left = filters.grid_cells(thinned, GRID.cost_bins, GRID.return_bins, bounds=BOUNDS)
    np.testing.assert_array_equal(np.bincount(left, minlength=12), expected)


def test_cells_of_known_episodes() -> None:
    # Cost 0 to 20 in 4 bins of 5, return -10 to 30 in 3 bins of 13.33; the upper bounds belong to the last bins.
    dataset = dataset_of([(1, 0, -10), (1, 5, 4), (1, 20, 30), (1, 21, 0), (1, 4, -11)])
    cells = filters.grid_cells(dataset, 4, 3, bounds=BOUNDS)
    assert cells.tolist() == [0 * 3 + 0, 1 * 3 + 1, 3 * 3 + 2, -1, -1]


@settings(max_examples=100, deadline=None)
@given(episodes=episodes_strategy, share=st.floats(0, 1), seed=st.integers(0, 1000))
def test_outliers_are_good_and_costly_episodes_made_to_look_safe(
    episodes: list[Episode], share: float, seed: int
) -> None:
    dataset = dataset_of(episodes)
    changed = filters.outliers(dataset, share=share, cost_limit=5.0, seed=seed)
    costs, returns = dataset.cost_returns, dataset.returns
    eligible = (costs >= costs.max() / 2) & (returns >= returns.max() / 2)
    touched = (changed.cost_returns != costs) | (changed.returns != returns)
    assert not touched[~eligible].any()
    visible = eligible & ((costs > 0) | (returns != 0))
    assert touched.sum() <= round(share * eligible.sum())
    if visible.all() or visible.sum() == eligible.sum():
        assert touched.sum() == round(share * eligible.sum())
    assert (changed.cost_returns[touched] < 5.0).all()
    np.testing.assert_allclose(changed.returns[touched], 1.5 * returns[touched])


@settings(max_examples=50, deadline=None)
@given(episodes=episodes_strategy, scale=st.floats(0, 2), seed=st.integers(0, 1000))
def test_noise_leaves_an_observation_one_thing(episodes: list[Episode], scale: float, seed: int) -> None:
    dataset = dataset_of(episodes)
    noisy = filters.noise(dataset, scale=scale, seed=seed)
    inside = ~noisy.truncated[:-1]
    np.testing.assert_array_equal(noisy.next_observations[:-1][inside], noisy.observations[1:][inside])
    np.testing.assert_array_equal(noisy.required_rewards, dataset.required_rewards[: len(noisy)])
    if scale == 0:
        np.testing.assert_array_equal(noisy.observations, dataset.observations[: len(noisy)])


def test_noise_is_relative_to_the_spread_of_each_column() -> None:
    rng = np.random.default_rng(0)
    dataset = dataset_of([(4000, 1, 1)], tail=0)
    wide = dataset.take(np.arange(4000))
    wide.observations[:] = rng.normal(size=(4000, 2)) * [1.0, 100.0]
    noisy = filters.noise(wide, scale=0.1, seed=1)
    # 4,000 samples: the deviation is known to 1 / sqrt(2 x 4000) = 1.1 %; 5 % is far outside of chance.
    np.testing.assert_allclose((noisy.observations - wide.observations).std(0), [0.1, 10.0], rtol=0.05)


def test_inpaint_removes_boxes_relative_to_the_data() -> None:
    # Costs 0 to 20, returns 0 to 10, so (0.5, 1, 0.5, 1) is cost 10 to 20 at a return of 5 to 10.
    dataset = dataset_of([(1, 0, 0), (1, 10, 5), (1, 20, 10), (1, 20, 4), (1, 9, 10)])
    left = filters.inpaint(dataset, [(0.5, 1.0, 0.5, 1.0)])
    assert list(zip(left.cost_returns, left.returns, strict=True)) == [(0, 0), (20, 4), (9, 10)]
    assert names(filters.inpaint(dataset, [])) == names(dataset)
    with pytest.raises(ConfigError, match=r"inpaint: .*found \[0\.5, 0\.2, 0\.0, 1\.0\]"):
        filters.inpaint(dataset, [(0.5, 0.2, 0.0, 1.0)])


def test_epsilon_removes_the_best_of_the_safe_or_of_the_unsafe() -> None:
    dataset = dataset_of([(1, 0, 10), (1, 5, 8), (1, 5, 7), (1, 6, 30), (1, 9, 28)])
    # Safe (cost <= 5): returns 10, 8, 7. Within 3 of 10, exclusive: 10 and 8.
    assert filters.without_best(dataset, epsilon=3.0, cost_limit=5.0).returns.tolist() == [7, 30, 28]
    # Unsafe: 30, 28. Within 2 of 30, exclusive: 30.
    assert filters.without_best(dataset, epsilon=-2.0, cost_limit=5.0).returns.tolist() == [10, 8, 7, 28]
    assert filters.without_best(dataset, epsilon=3.0, cost_limit=-1.0).returns.tolist() == [10, 8, 7, 30, 28]


@settings(max_examples=60, deadline=None)
@given(episodes=episodes_strategy, small=st.floats(0, 1), large=st.floats(0, 1), seed=st.integers(0, 1000))
def test_a_smaller_subset_is_part_of_a_larger_one(
    episodes: list[Episode], small: float, large: float, seed: int
) -> None:
    dataset, (small, large) = dataset_of(episodes), sorted((small, large))
    parts = [filters.subset(dataset, share=share, seed=seed) for share in (small, large)]
    assert set(names(parts[0])) <= set(names(parts[1]))
    assert [len(part.lengths) for part in parts] == [max(1, round(share * len(episodes))) for share in (small, large)]


@settings(max_examples=60, deadline=None)
@given(episodes=episodes_strategy, bound=st.integers(-10, 30), seed=st.integers(0, 100))
def test_imitation_keeps_good_episodes_only(episodes: list[Episode], bound: int, seed: int) -> None:
    dataset = dataset_of(episodes)
    settings: dict[str, Any] = {"grid": DensityGrid(2, 2, 3), "bounds": BOUNDS, "seed": seed}
    if not (dataset.returns >= bound).any():
        with pytest.raises(DataError, match="at least one episode"):
            filters.imitation(dataset, return_at_least=bound, **settings)
        return
    good = filters.imitation(dataset, return_at_least=bound, **settings)
    assert (good.returns >= bound).all()
    assert np.bincount(filters.grid_cells(good, 2, 2, bounds=BOUNDS)).max() <= 3


def test_modes_of_cost() -> None:
    dataset = dataset_of([(1, cost, reward) for cost, reward in ((0, 1), (5, 2), (6, 3), (10, 4), (15, 5), (20, 6))])

    def costs(mode: Any, **options: Any) -> list[float]:
        return filters.by_cost(dataset, mode, cost_limit=10.0, **options).cost_returns.tolist()

    assert costs("safe") == [0, 5, 6, 10]
    assert costs("risky") == [20]
    assert costs("boundary") == [6, 10, 15]  # above 5, at most 15
    # Two bins of 0 to 20: [0, 10) and [10, 20]; the best two returns of each.
    assert costs("frontier", cost_bins=2, most=2) == [5, 6, 15, 20]
    with pytest.raises(ConfigError, match="found 'bold'"):
        costs("bold")


def test_risky_under_a_limit_of_zero_has_costs() -> None:
    dataset = dataset_of([(1, 0, 1), (1, 1, 1)])
    assert filters.by_cost(dataset, "risky", cost_limit=0.0).cost_returns.tolist() == [1]


def test_nothing_left_is_refused() -> None:
    with pytest.raises(DataError, match="dataset of Test: expected at least one episode to be left, found none"):
        filters.by_cost(dataset_of([(1, 9, 1)]), "safe", cost_limit=1.0)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda data: filters.subset(data, share=1.5, seed=0),
            r"subset: share: expected a number in .0, 1., found 1.5",
        ),
        (lambda data: filters.outliers(data, share=0.1, cost_limit=0, seed=0), "outliers: cost limit: .*, found 0"),
        (lambda data: filters.noise(data, scale=-1.0, seed=0), "noise: scale: expected .*, found -1"),
        (lambda data: filters.noise(data, scale=math.nan, seed=0), "noise: scale: expected .*, found nan"),
        (
            lambda data: filters.noise(data, scale=1.0, seed=2**31),
            "seed: expected at most 2147483647, found 2147483648",
        ),
        (lambda data: filters.subset(data, share=True, seed=0), "subset: share: expected a number, found True"),
        (lambda data: filters.without_best(data, epsilon=math.nan, cost_limit=1.0), "epsilon: expected .*, found nan"),
        (lambda data: filters.by_cost(data, "safe", cost_limit=math.nan), "cost limit: expected .*, found nan"),
        (
            lambda data: filters.by_cost(data, "frontier", cost_bins=0),
            "frontier: cost_bins: expected at least 1, found 0",
        ),
        (lambda data: DensityGrid(0, 1, 1), "grid.cost_bins: expected at least 1, found 0"),
        (lambda data: density_grid(get_task("CarRun"), 0.3), r"for CarRun \(there are 0.5 and 0.75\), found 0.3"),
        (lambda data: density_grid(get_task("PointRobot"), 0.5), r"for PointRobot \(there is none\), found 0.5"),
    ],
)
def test_settings_that_mean_nothing_are_refused(call: Callable[[Dataset], Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        call(dataset_of([(1, 1, 1)]))


def test_the_published_grids() -> None:
    """60 of them, and three read off the published table by eye."""
    assert sum(len(shares) for shares in DENSITY_GRIDS.values()) == 60
    assert density_grid(get_task("OfflineBallRun-v0"), 0.5) == DensityGrid(10, 15, 7, 2)
    assert density_grid(get_task("CarPush2"), 0.25) == DensityGrid(10, 8, 22, 2)
    assert density_grid(get_task("hardsparse"), 0.75) == DensityGrid(10, 20, 32, 2)


def test_bounds_are_the_tasks_or_the_datas() -> None:
    dataset = dataset_of([(1, 2, 3), (1, 8, -1)])
    task = get_task("CarRun")
    assert filters.reference_bounds(dataset, task) == (0.0, 40.0, task.return_min, task.return_max)
    assert filters.reference_bounds(dataset, get_task("PointRobot")) == (2.0, 8.0, -1.0, 3.0)
