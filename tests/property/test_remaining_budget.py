"""What holds of budgets whatever the costs."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from surefoot.constraints.budgets import BudgetState, pay, remaining_budget

COSTS = st.lists(st.floats(0, 10, width=32), min_size=1, max_size=30)


@given(costs=COSTS, total=st.floats(0, 100), discount=st.floats(0.9, 1.0))
def test_the_recursion_of_what_is_left(costs: list[float], total: float, discount: float) -> None:
    """b_{t+1} = (b_t - c_t) / d."""
    state = BudgetState(np.zeros(1), np.ones(1))
    left = total
    for cost in costs:
        state = pay(state, np.array([cost]), discount=discount)
        left = (left - cost) / discount
        np.testing.assert_allclose(remaining_budget(state, np.array([total]))[0], left, rtol=1e-9, atol=1e-6)


@given(costs=COSTS, total=st.floats(0, 100))
def test_plain_costs_are_exceeded_exactly_where_nothing_is_left(costs: list[float], total: float) -> None:
    state = BudgetState(np.zeros(1), np.ones(1))
    for cost in costs:
        state = pay(state, np.array([cost]), discount=1.0)
    assert (remaining_budget(state, np.array([total]))[0] < 0) == (np.cumsum(costs)[-1] > total)
