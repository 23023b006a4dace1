"""Thinning on the grid: whatever was collected, rare behaviour stays and frequent behaviour is cut down to it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from surefoot.collection.density_filter import COST_BINS, RETURN_BINS, Grid, Thinned, filtered_by_density, reached

VALUES = st.floats(-1e3, 1e3, width=32)
GRID = Grid((-100.0, 500.0), (-300.0, 200.0))
"""Narrower than the values: what lies outside counts to the outermost bins."""
EPISODES = st.lists(st.tuples(VALUES, VALUES, st.integers(1, 50)), min_size=1, max_size=80)


@given(EPISODES, st.integers(1, 3000), st.integers(0, 5))
def test_the_fewest_per_bin_that_keep_enough(
    episodes: list[tuple[float, float, int]], transitions: int, seed: int
) -> None:
    costs, returns, lengths = (np.array(values) for values in zip(*episodes, strict=True))
    found = filtered_by_density(costs, returns, lengths, grid=GRID, transitions=transitions, seed=seed)
    bins = GRID.bins(costs, returns)
    kept = bins[found.kept]
    assert (np.diff(found.kept) > 0).all()
    assert set(kept) == set(bins)  # every bin that holds an episode keeps one
    counts, all_counts = np.bincount(kept), np.bincount(bins)
    np.testing.assert_array_equal(counts, np.minimum(all_counts, found.most_per_bin))
    # Enough is kept, or all; and one less a bin would not have been enough.
    assert lengths[found.kept].sum() >= min(transitions, lengths.sum())
    if found.most_per_bin > 1:
        fewer = filtered_by_density(costs, returns, lengths, grid=GRID, transitions=1, seed=seed)
        assert fewer.most_per_bin == 1
        assert set(fewer.kept) <= set(found.kept)


@given(EPISODES, st.integers(1, 3000), st.integers(0, 5))
def test_a_seed_gives_the_same_episodes(episodes: list[tuple[float, float, int]], transitions: int, seed: int) -> None:
    costs, returns, lengths = (np.array(values) for values in zip(*episodes, strict=True))
    one, other = (
        filtered_by_density(costs, returns, lengths, grid=GRID, transitions=transitions, seed=seed) for _ in range(2)
    )
    np.testing.assert_array_equal(one.kept, other.kept)


def test_by_hand() -> None:
    """Ten episodes of 3 steps in one bin, two in another: 20 steps need 5 a bin, for 4 + 2 episodes have only 18."""
    costs, grid = np.array([0.0] * 10 + [60.0] * 2), Grid((0.0, 60.0), (0.0, 50.0))

    def thinned(transitions: int) -> Thinned:
        return filtered_by_density(costs, costs, np.full(12, 3), grid=grid, transitions=transitions, seed=0)

    found = thinned(20)
    assert found.most_per_bin == 5
    assert len(found.kept) == 7
    assert {10, 11} <= set(found.kept.tolist())
    assert thinned(18).most_per_bin == 4
    assert len(thinned(10**6).kept) == 12


def test_the_grid_by_hand() -> None:
    """Bins of 1 by 1; the upper bounds and what lies beyond them are in the last bins, what lies below in the first."""
    grid = Grid((0.0, 60.0), (0.0, 50.0))
    found = grid.bins(np.array([-3.0, 59.9, 60.0, 30.0]), np.array([0.0, 50.0, 700.0, 25.0]))
    wanted = [0, 59 * RETURN_BINS + 49, 59 * RETURN_BINS + 49, 30 * RETURN_BINS + 25]
    assert found.tolist() == wanted
    assert max(wanted) < COST_BINS * RETURN_BINS


def test_parts_of_a_range_that_are_reached() -> None:
    found = reached(np.array([0.0, 1.0, 99.0, 100.0, 101.0]), low=0.0, high=100.0, bins=10)
    assert found.tolist() == [True] + [False] * 8 + [True]
