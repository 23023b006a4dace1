"""Limits at run time: told to policies that take a budget, and said of those that do not."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import pytest
from tests.fake_cells import make_cell, simple_work
from tests.fake_vector import TASK, FakeSimulator, FakeVector
from tests.unit.test_protocol import EPISODES, METHOD

from surefoot.algorithms import BC, CDT, TREBI
from surefoot.algorithms.coptidice import COptiDICE
from surefoot.errors import ConfigError
from surefoot.evaluation.kinds.budgets import BudgetRequest, under_budgets
from surefoot.evaluation.kinds.limits import protocol_rows
from surefoot.evaluation.protocol import limit_use
from surefoot.evaluation.rows import against_limits
from surefoot.evaluation.simulated import roll_out_simulator
from surefoot.evaluation.summarize import protocol_figures
from surefoot.experiments.attempt import attempt
from surefoot.experiments.cell import Cell, Measured
from surefoot.experiments.store import Store
from surefoot.hyperparameters import change
from surefoot.report.summary_rows import protocol_rows as table_rows
from surefoot.rollouts.host import episode_seed
from surefoot.types import Policy


@dataclass(frozen=True)
class Spending:
    """Moves by a tenth of what is left of its budget and by the last reward."""

    def policy(self, state: Any) -> Policy:
        def act(carry: Any, inputs: Any, key: Any) -> tuple[Any, Any]:
            return carry, (0.1 * inputs.remaining_budget + 0.2 * inputs.reward)[:, None]

        return Policy(initial=jnp.zeros, act=act)


@pytest.mark.parametrize("discount", [1.0, 0.5])
def test_a_policy_is_told_what_is_left_and_the_last_reward(discount: float) -> None:
    """Against a plain loop. Costs are 1 above a state of 1, so some episodes spend."""
    budget = np.full(TASK.horizon, 3.0)
    found = roll_out_simulator(
        Spending(), jnp.zeros(1), FakeVector(2), seeds=(0,), episodes=4, budget=budget, discount=discount
    )
    assert max(one.cost for one in found.episodes) > 0
    for one in found.episodes:
        simulator, left, reward, over = FakeSimulator(), 3.0, 0.0, False
        simulator.reset(seed=episode_seed(one.episode))
        returns = costs = 0.0
        while not over:
            action = np.array([0.1 * left + 0.2 * reward])
            _, reward, terminated, truncated, info = simulator.step(action)
            over = terminated or truncated
            returns, costs, left = returns + reward, costs + info["cost"], (left - info["cost"]) / discount
        assert (one.episode_return, one.cost) == (pytest.approx(returns, abs=1e-4), costs)


def test_episodes_that_were_told_a_limit_are_scored_against_it_alone() -> None:
    """Costs of seed 0: 0, 1, 2, 3; of seed 1: 0, 0, 4, 8. Told 2 they are those; told 4 they are twice as much."""
    rows = protocol_rows(EPISODES, TASK, method={**METHOD, "told": 2.0})
    double = [one._replace(cost=2 * one.cost, episode_return=2 * one.episode_return) for one in EPISODES]
    rows += protocol_rows(double, TASK, method={**METHOD, "told": 4.0})
    scored = against_limits(rows, (1.0, 2.0, 4.0), "dsrl")
    assert [(row["limit"], row["told"]) for row in scored[::8]] == [(2.0, 2.0), (4.0, 4.0)]
    figures = protocol_figures(scored)
    # Mean cost 18 / 8 against 2, and 36 / 8 against 4: 1.125 each. Returns 1.5 and 3: 2.25 in the mean.
    assert figures["normalised_cost_mean"] == pytest.approx(1.125)
    assert figures["return_mean"] == pytest.approx(2.25)
    assert figures["episodes"] == 8
    without = protocol_figures(against_limits(protocol_rows(EPISODES, TASK, method=METHOD), (2.0, 4.0), "dsrl"))
    assert without["return_mean"] == 1.5  # the same episodes under both


def test_what_a_method_does_with_a_limit_is_said() -> None:
    assert limit_use(CDT()) == limit_use(TREBI()) == "given at run time"
    assert limit_use(change(COptiDICE(), cost_limit=10.0)) == "trained for one limit (10)"
    assert limit_use(BC()) == "trained for none"
    figures = protocol_figures(against_limits(protocol_rows(EPISODES, TASK, method=METHOD), (2.0,), "strict"))
    (row,) = table_rows({"protocol": {**figures, "limit_use": "trained for one limit (10)"}})
    assert row["limit is"] == "trained for one limit (10)"
    assert "limit is" not in table_rows({"protocol": figures})[0]  # of summaries from before


class Run(SimpleNamespace):
    """As much of a loaded run as the check reads."""

    directory: ClassVar[Any] = SimpleNamespace(path=Path("runs/dice"))
    config: ClassVar[Any] = SimpleNamespace(algorithm="coptidice", known_task=lambda: TASK)


def test_a_budget_for_a_method_that_is_trained_for_one_is_refused() -> None:
    run: Any = Run(algorithm=change(COptiDICE(), cost_limit=10.0))
    with pytest.raises(ConfigError) as raised:
        under_budgets(run, BudgetRequest(cost_limit=(10.0, 20.0)))
    assert str(raised.value) == (
        "runs/dice: algorithm 'coptidice' was trained for one limit, 10, and takes no budget; leave budget, "
        "cost_limit, budget_schedule and level out, or train for another with cost_limit."
    )


def test_a_cell_has_as_many_rows_under_each_limit_that_it_was_told(tmp_path: Path) -> None:
    """Before, a cell under two limits was refused: expected 4 rows, found 8."""
    for number, left_out in enumerate((0, 1)):

        def work(cell: Cell, folder: Path, left_out: int = left_out) -> Measured:
            found = simple_work(cell, folder)
            return found._replace(rows=[{**row, "told": told} for told in (5.0, 10.0) for row in found.rows][left_out:])

        attempt(make_cell(number), store=str(tmp_path), work=work, began=0.0)
    store = Store(tmp_path)
    assert [row.get("told") for row in store.rows("cell0")] == [5.0] * 4 + [10.0] * 4
    with pytest.raises(ConfigError, match="expected 4 rows under the limit 5, found 3"):
        store.rows("cell1")
