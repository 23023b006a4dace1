"""How far plans are from what happens, one step ahead."""

import numpy as np
import pytest

from surefoot.evaluation.imagined import imagination_errors
from surefoot.evaluation.lanes import Watched

STEPS = np.arange(5.0)


def watched(*columns: np.ndarray, wrong: float = 0.0, horizon: int = 3) -> Watched:
    """One lane whose plans expect each column as it comes, but for the first, which they expect `wrong` too large."""
    observations = np.stack(columns, -1)[:, None].astype(np.float32)  # [t, 1, o]
    ahead = [np.concatenate([observations[k:], np.repeat(observations[-1:], k, 0)]) for k in range(horizon)]
    plans = np.stack(ahead, 2)
    plans[:, :, 1:, 0] += wrong
    return Watched(observations, plans)


@pytest.mark.parametrize("wrong", [0.0, 0.25, -1.0, 3.0])
def test_one_number_that_moves_by_one_a_step(wrong: float) -> None:
    """Wrong by `wrong` of a change of 1; the spread cancels."""
    assert imagination_errors(watched(STEPS, wrong=wrong)) == pytest.approx([abs(wrong)])


def test_numbers_count_in_units_of_their_spread() -> None:
    """Two numbers, the second ten times the first: both change by the same share of their spread, and the plans are
    wrong in the first alone: sqrt((0.5^2 + 0) / (1 + 1))."""
    assert imagination_errors(watched(STEPS, 10 * STEPS, wrong=0.5)) == pytest.approx([0.5 / np.sqrt(2)])


def test_what_stands_still_does_not_count() -> None:
    """Neither a constant nor its rounding errors, in whose tiny units every plan would be wrong."""
    still = 7.0 + 5e-7 * np.array([0.0, 1.0, 0.0, -1.0, 0.0])
    assert imagination_errors(watched(STEPS, still, wrong=0.25)) == pytest.approx([0.25])
    assert imagination_errors(watched(np.full(5, 2.0), wrong=0.25)) is None


def test_lanes_share_what_a_step_changes() -> None:
    """The second lane moves by 3 a step: mean squares of the change (1 + 9) / 2, and each lane is wrong by 0.5."""
    slow, fast = watched(STEPS, wrong=0.5), watched(3 * STEPS, wrong=0.5)
    assert slow.plans is not None
    assert fast.plans is not None
    both = Watched(
        np.concatenate([slow.observations, fast.observations], 1), np.concatenate([slow.plans, fast.plans], 1)
    )
    assert imagination_errors(both) == pytest.approx([0.5 / np.sqrt(5)] * 2)


def test_only_steps_at_which_a_plan_was_made_count() -> None:
    """At steps 1 and 3 the plans of the step before are still carried out; these begin elsewhere and are left out."""
    seen = watched(STEPS, wrong=0.5)
    assert seen.plans is not None
    seen.plans[1::2] = seen.plans[0:-1:2]
    assert imagination_errors(seen) == pytest.approx([0.5])
    seen.plans[:, :, 0] += 0.3
    assert imagination_errors(seen) == pytest.approx([np.nan], nan_ok=True)


def test_the_end_of_an_episode_and_planners_that_show_no_plans() -> None:
    seen = watched(STEPS, wrong=0.5)
    assert seen.plans is not None
    seen.observations[3:] = np.nan
    seen.plans[3:] = np.nan
    assert imagination_errors(seen) == pytest.approx([0.5])
    assert imagination_errors(Watched(seen.observations, None)) is None
    assert imagination_errors(Watched(seen.observations[:1], seen.plans[:1])) is None
    seen.observations[:] = np.nan
    assert imagination_errors(seen) is None
