"""The limit on an episode's costs in the units of a discounted critic; the multiplier that enforces one."""

import jax.numpy as jnp
import pytest

from surefoot.constraints import PIDGains, discounted_cost_limit, pid_init, pid_update


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


# --- the PID multiplier ----------------------------------------------------------------------------------------------

GAINS = PIDGains(proportional=2.0, integral=0.5, derivative=1.0, smoothing=0.5, most=3.0)


def multipliers(costs: list[float], *, limit: float, gains: PIDGains = GAINS) -> list[float]:
    state, found = pid_init(), []
    for cost in costs:
        state = pid_update(state, jnp.float32(cost), limit=jnp.float32(limit), gains=gains)
        found.append(float(state.multiplier))
    return found


def test_pid_by_hand() -> None:
    # 1: smoothed 1, above the limit by 0.5: 2 x 0.5 + integral 0.5 x 0.5 + no rise yet = 1.25
    # 2: smoothed (1 + 1.4) / 2 = 1.2, above by 0.7, integral 0.25 + 0.5 x 0.9 = 0.7, rise 0.2: 1.4 + 0.7 + 0.2 = 2.3
    # 3: smoothed (1.2 + 0) / 2 = 0.6, above by 0.1, integral 0.7 - 0.25 = 0.45, a fall counts nothing: 0.2 + 0.45
    assert multipliers([1.0, 1.4, 0.0], limit=0.5) == pytest.approx([1.25, 2.3, 0.65])


def test_the_multiplier_moves_the_right_way_and_stays_within_its_bounds() -> None:
    above = multipliers([2.0] * 20, limit=0.5)
    assert above == sorted(above)
    assert above[-1] == 3.0
    assert multipliers([0.2] * 5, limit=0.5) == [0.0] * 5
    # Costs at the limit move nothing: the integral holds what it has.
    settled = multipliers([1.0] + [0.5] * 12, limit=0.5)
    assert settled[-1] == pytest.approx(0.25, abs=1e-3)
    assert settled[-1] == pytest.approx(settled[-2], abs=1e-3)


def test_a_wound_up_integral_unwinds_from_its_bound() -> None:
    """However long the cost was too high, as many updates take it down: 3 / (0.5 x 0.5) = 12."""
    for high in (10, 1000):
        found = multipliers([9.0] * high + [0.0] * 16, limit=0.5)
        assert found[high - 1] == 3.0
        assert found[-1] == 0.0


def test_no_limit_is_no_multiplier() -> None:
    assert multipliers([2.0, 4.0, 3.0], limit=10.0) == [0.0] * 3
