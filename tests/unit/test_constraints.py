"""The limit on an episode's costs in the units of a discounted critic."""

import pytest

from surefoot.constraints import discounted_cost_limit


def test_by_hand() -> None:
    # An episode of 2 steps that spends 3 evenly pays 1.5 a step: 1.5 + 0.5 * 1.5 = 2.25
    assert discounted_cost_limit(3.0, discount=0.5, horizon=2) == pytest.approx(2.25)
    # 10 over 1000 steps at 0.99: 0.01 a step over about 100 steps, 0.01 * (1 - 4.3e-5) / 0.01
    assert discounted_cost_limit(10.0, discount=0.99, horizon=1000) == pytest.approx(0.999957, abs=1e-6)
    assert discounted_cost_limit(0.0, discount=0.99, horizon=300) == 0.0


@pytest.mark.parametrize(("limit", "discount", "horizon"), [(5.0, 0.9, 7), (1.0, 0.999, 300)])
def test_it_is_the_discounted_sum_of_an_even_episode(limit: float, discount: float, horizon: int) -> None:
    summed = sum(discount**t * limit / horizon for t in range(horizon))
    assert discounted_cost_limit(limit, discount=discount, horizon=horizon) == pytest.approx(summed)


def test_without_discount_it_is_the_limit_itself() -> None:
    assert discounted_cost_limit(7.0, discount=1.0, horizon=300) == 7.0
    assert discounted_cost_limit(7.0, discount=1 - 1e-7, horizon=300) == pytest.approx(7.0, rel=1e-4)
