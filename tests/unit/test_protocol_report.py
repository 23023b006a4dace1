"""Tables and figures of evaluations on simulators."""

from typing import Any

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from tests.fake_vector import TASK
from tests.unit.test_protocol import EPISODES, METHOD

from surefoot.errors import ConfigError, DataError
from surefoot.evaluation.kinds.limits import protocol_rows as rows_of_protocol
from surefoot.evaluation.protocol import ProtocolName, cost_limits
from surefoot.evaluation.rows import against_limits
from surefoot.evaluation.summarize import protocol_figures
from surefoot.report.key_figures import key_figures
from surefoot.report.protocol_plots import QuantityBar, Scores, cost_against_return, quantity_bars, scores_of
from surefoot.report.summary_rows import comparison_rows, protocol_rows
from surefoot.report.tables import markdown_table


def rows_of(protocol: ProtocolName) -> list[dict[str, Any]]:
    return against_limits(rows_of_protocol(EPISODES, TASK, method=METHOD), cost_limits(TASK, protocol), protocol)


def summary_of(protocol: ProtocolName) -> dict[str, Any]:
    return {"protocol": protocol_figures(rows_of(protocol))}


def test_key_figures_judge_mean_cost_and_safe_episodes() -> None:
    found = {figure.name: (figure.reached, figure.met) for figure in key_figures(summary_of("strict"))}
    # Costs and their arithmetic: test_protocol.
    assert found == {
        "Mean normalised cost": ("1.12", False),
        "Episodes within the cost limit": ("62.5 %", False),
        "Mean normalised return": ("0.150", None),
    }


def test_a_row_for_each_limit() -> None:
    rows = protocol_rows(summary_of("dsrl"))
    assert [row["cost limit"] for row in rows] == ["1", "2", "4"]
    assert [row["safe seeds"] for row in rows] == ["0 of 2", "1 of 2", "2 of 2"]
    assert rows[1]["safe episodes"].startswith("62.5 % [30.6, 86.3]")
    assert protocol_rows({"evaluation": {}}) == []


def test_methods_beside_each_other() -> None:
    one, three = comparison_rows([("BC", summary_of("strict")), ("FISOR", summary_of("dsrl"))])
    assert (one["method"], one["safe"], one["safe seeds"]) == ("BC", "no", "1 of 2")
    assert one["normalised cost"].startswith("1.12 [")
    assert three["normalised cost"] == "1.31"
    # Seed 0 costs 1.5 over limits 1, 2, 4: 1.5, 0.75, 0.375, mean 0.875; seed 1 twice that.
    assert three["safe seeds"] == "1 of 2"


def test_markdown() -> None:
    text = markdown_table([{"method": "BC", "safe": "no"}, {"method": "FISOR", "safe": "yes"}])
    assert text == "| method | safe |\n| --- | --- |\n| BC | no |\n| FISOR | yes |\n"


def test_figures_of_another_form_are_refused() -> None:
    with pytest.raises(DataError, match="key 'BC: protocol': expected the figures of an evaluation"):
        comparison_rows([("BC", {"protocol": {"limits": []}})])
    with pytest.raises(DataError, match="evaluate the run again"):
        protocol_rows({"protocol": {"limits": [{}]}})


def test_scores_are_averaged_over_the_limits() -> None:
    scores = scores_of("BC", rows_of("dsrl"))
    assert scores.returns.tolist() == [pytest.approx([0.0, 0.1, 0.2, 0.3])] * 2
    # Costs times (1 + 1/2 + 1/4) / 3 = 7 / 12.
    np.testing.assert_allclose(scores.costs[1], np.array([0, 0, 4, 8]) * 7 / 12)
    with pytest.raises(ConfigError, match="same episodes of every seed"):
        scores_of("BC", rows_of("strict")[:-1])


def test_the_scatter_shows_episodes_seeds_and_data() -> None:
    scores = scores_of("BC", rows_of("strict"))
    figure = cost_against_return([scores], data=(np.array([0.5, 0.6]), np.array([3.0, 9.0])))
    offsets = [
        np.asarray(part.get_offsets()) for part in figure.axes[0].collections if isinstance(part, PathCollection)
    ]
    assert [len(part) for part in offsets] == [2, 8, 2]
    np.testing.assert_allclose(offsets[2], [[0.15, 0.75], [0.15, 1.5]])
    low, high = figure.axes[0].get_ylim()
    assert low < 0
    assert high > 9
    with pytest.raises(ConfigError, match="at least one method"):
        cost_against_return([])


def test_a_scatter_of_a_method_without_any_cost_has_a_scale() -> None:
    zeros = np.zeros((1, 3))
    assert cost_against_return([Scores("BC", zeros, zeros)]).axes[0].get_ylim()[1] > 1


def test_bars_stand_in_the_order_of_the_shares() -> None:
    strict = summary_of("strict")["protocol"]
    figure = quantity_bars([QuantityBar(1.0, strict), QuantityBar(0.1, strict)])
    left, right = figure.axes
    assert [label.get_text() for label in left.get_xticklabels()] == ["10 %", "100 %"]
    assert [bar.get_height() for bar in left.patches] == pytest.approx([0.15, 0.15])  # type: ignore[union-attr]
    assert [bar.get_height() for bar in right.patches] == pytest.approx([1.125, 1.125])  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="at least one share"):
        quantity_bars([])
