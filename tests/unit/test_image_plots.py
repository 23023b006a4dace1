"""Figures of runs on images, and the arrays that they are drawn from."""

from pathlib import Path

import numpy as np
import pytest

from surefoot.data.frames import from_episodes
from surefoot.errors import ConfigError, DataError
from surefoot.evaluation.image_pictures import telling_episode
from surefoot.report.image_plots import (
    MethodEpisodes,
    ProbabilitySlice,
    feasibility_strip,
    online_curves,
    open_loop,
    probability_maps,
    return_against_cost,
)


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_open_loop_has_a_row_of_truth_over_one_of_predictions() -> None:
    figure = open_loop(images(2, 5, 8, 8, 3), images(2, 5, 8, 8, 3), context=2)
    assert len(figure.axes) == 2 * 2 * 5
    # The step of the last image that the model saw is 0.
    assert [axes.get_title() for axes in figure.axes[:5]] == ["-1", "0", "1", "2", "3"]
    assert [axes.get_ylabel() for axes in figure.axes[::5]] == ["true", "model"] * 2
    # Of two cameras the first is shown.
    open_loop(images(1, 3, 8, 8, 6), images(1, 3, 8, 8, 6), context=1)
    with pytest.raises(ConfigError, match="a context within t"):
        open_loop(images(1, 3, 8, 8, 3), images(1, 3, 8, 8, 3), context=3)


def test_feasibility_is_one_minus_p_and_costs_are_marked(tmp_path: Path) -> None:
    p, costs = np.linspace(0, 1, 40), np.zeros(40)
    costs[20] = 2.0
    figure = feasibility_strip(images(40, 8, 8, 3), p, costs)
    curve = figure.axes[-1].lines[1]
    np.testing.assert_allclose(np.asarray(curve.get_ydata()), 1 - p)
    assert len(figure.axes) == 14 + 1  # every third of 40 images
    red = [axes.get_title() for axes in figure.axes[:-1] if axes.spines["left"].get_linewidth() > 1]
    assert red == ["18"]  # which stands for steps 18 to 20
    figure.savefig(tmp_path / "strip.png")
    with pytest.raises(ConfigError, match="t numbers twice"):
        feasibility_strip(images(4, 8, 8, 3), p, costs)


def test_online_curves_count_by_environment_steps() -> None:
    rows = [
        {"seed": seed, "environment_steps": 10 * number, "return_mean": number + seed, "violating_share": 0.5,
         "violating_episodes": number}
        for seed in (0, 2) for number in (1, 2, 3)
    ]  # fmt: skip
    figure = online_curves({"FOSP": rows, "other": rows[:3]})
    thick = [line for line in figure.axes[0].lines if line.get_linewidth() > 1]
    np.testing.assert_allclose(np.asarray(thick[0].get_ydata()), [2, 3, 4])  # mean of number and number + 2
    np.testing.assert_allclose(np.asarray(thick[0].get_xdata()), [10, 20, 30])
    np.testing.assert_allclose(np.asarray(figure.axes[1].lines[-1].get_ydata()), 50.0)
    with pytest.raises(DataError, match="key 'return_mean' of row 0"):
        online_curves({"FOSP": [{"seed": 0, "environment_steps": 1}]})


def test_a_mean_of_each_seed_stands_in_the_scatter() -> None:
    episodes = MethodEpisodes("FOSP", np.array([1.0, 3.0, 5.0]), np.array([0.0, 2.0, 4.0]), np.array([0, 0, 1]))
    figure = return_against_cost([episodes], data=(np.zeros(2), np.ones(2)))
    means = figure.axes[0].collections[-1].get_offsets()
    np.testing.assert_allclose(np.asarray(means), [[2.0, 1.0], [5.0, 4.0]])
    with pytest.raises(ConfigError, match="at least one method"):
        return_against_cost([])


def test_maps_show_p_and_the_exact_border() -> None:
    x, y = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(-1, 1, 9))
    item = ProbabilitySlice(1.0, 0.0, learned=np.clip(0.4 * x, -0.5, 0.5)[None], exact=y, iou=0.5)
    figure = probability_maps([item, item], x[0], np.array([[0.0, 0.0]]), 0.3)
    assert figure.axes[0].get_title().endswith("IoU 0.500")
    mesh = figure.axes[0].collections[0].get_array()
    assert mesh is not None
    np.testing.assert_allclose(np.asarray(mesh).reshape(9, 9), 0.5 + 0.4 * x)


def test_the_telling_episode_is_the_one_along_which_p_moves_most() -> None:
    none = np.zeros((3, 12))
    frames = from_episodes("Any", images(3, 13, 4, 4, 3), none[..., None], none, none, lengths=np.array([12, 11, 3]))
    p = np.zeros((3, 13))
    p[1, 4], p[1, 12], p[2, 1], p[0, 3] = 0.6, 0.9, 0.95, 0.5
    # Episode 2 is too short, and of episode 1 frame 12 is not there.
    assert telling_episode(frames, p) == 1
    assert telling_episode(frames, None) == 0
