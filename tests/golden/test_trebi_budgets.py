"""What is left of a budget before each step, against numbers of the authors' implementation."""

from pathlib import Path

import numpy as np
import pytest

from surefoot.constraints.budgets import begin_budget, pay, remaining_budget

GOLDEN = Path(__file__).parent / "trebi.npz"


@pytest.mark.parametrize(("name", "discount"), [("budget/gamma990", 0.99), ("budget/gamma997", 0.997)])
def test_remaining_budget_before_each_step(name: str, discount: float) -> None:
    with np.load(GOLDEN) as golden:
        costs, total, wanted = golden["budget/costs"], golden["budget/b0"], golden[name]
    state, found = begin_budget(1), []
    for cost in costs:
        found.append(float(remaining_budget(state, total[None])[0]))
        state = pay(state, cost[None], discount=discount)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
