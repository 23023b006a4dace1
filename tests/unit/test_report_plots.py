"""What the figures contain: panels, lines, labels and legends, not pixels."""

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch

from _front import FrontPoint, FrontSeries, front
from surefoot.envs.point_robot import HAZARDS
from surefoot.errors import ConfigError, DataError
from surefoot.report.maps import RegionSlice, Trajectory, feasible_region, trajectories
from surefoot.report.plots import data_overview, training_curves
from surefoot.report.style import VIOLATION

AXIS = np.linspace(-2.7, 2.7, 41)


def a_slice(speed: float = 0.5, *, radii: tuple[float, ...] = (0.9, 0.8), **scores: Any) -> RegionSlice:
    """Discs around the first hazard as infeasible sets, one radius for each seed; 0.8 exactly."""
    x, y = np.meshgrid(AXIS, AXIS)
    distance = np.hypot(x - HAZARDS[0][0], y - HAZARDS[0][1])
    learned = np.stack([radius - distance for radius in radii])
    return RegionSlice(speed, math.pi / 2, AXIS, AXIS, learned, 0.8 - distance, **scores)


def legend_texts(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def border_widths(axes: Axes, width: float) -> list[float]:
    """Diameters along x of the contours that are drawn with a line this wide."""
    found = []
    for artist in axes.collections:
        if list(np.ravel(artist.get_linewidth())) == [width]:
            vertices = np.concatenate([path.vertices for path in artist.get_paths()])
            found.append(np.ptp(vertices[:, 0]))
    return found


def test_feasible_region_draws_each_border_where_it_is() -> None:
    slices = [a_slice(0.5, iou=0.957, false_safe_rate=0.012, false_alarm_rate=0.004), a_slice(1.0)]
    figure = feasible_region(slices)
    first, second, bar = figure.axes
    assert first.get_title() == "v = 0.5 m/s, θ = 90°, IoU 0.957\nfalse safe 1.2 %, false alarm 0.4 %"
    assert second.get_title() == "v = 1 m/s, θ = 90°"
    assert border_widths(first, 1.8) == pytest.approx([1.8], abs=0.02)  # the first seed: radius 0.9
    assert border_widths(first, 0.7) == pytest.approx([1.6], abs=0.02)  # the other: radius 0.8
    assert border_widths(first, 1.3) == pytest.approx([1.6], abs=0.02)  # exact
    hazards = [patch for patch in first.patches if isinstance(patch, Circle)]
    assert [patch.get_center() for patch in hazards] == [pytest.approx(tuple(center)) for center in HAZARDS]
    assert (first.get_xlabel(), first.get_ylabel(), bar.get_ylabel()) == ("x, m", "y, m", "feasible value, m")
    low, high = bar.get_ylim()
    assert low == -high
    assert legend_texts(figure) == ["learned border, first seed", "other seeds", "exact border", "hazard"]


def test_feasible_region_points_the_arrow_along_the_heading() -> None:
    (axes, _) = feasible_region([a_slice()]).axes
    (arrow,) = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    tail, tip = np.asarray(arrow.get_path().vertices)[:2]  # the shaft comes before the head
    assert tip[0] == pytest.approx(tail[0], abs=1e-6)  # 90 degrees: straight up
    assert tip[1] > tail[1]


def test_feasible_region_without_a_border_draws_without_a_warning() -> None:
    flat = a_slice(radii=(-0.5,))  # nothing is infeasible
    figure = feasible_region([flat])
    figure.draw_without_rendering()
    assert border_widths(figure.axes[0], 1.8) == []
    assert "other seeds" not in legend_texts(figure)


def test_feasible_region_refuses() -> None:
    with pytest.raises(ConfigError, match="at least one slice"):
        feasible_region([])
    good = a_slice()
    bad = RegionSlice(1.0, 0.0, AXIS, AXIS[:-1], good.learned, good.exact)
    with pytest.raises(ConfigError, match=r"learned \(seeds, 40, 41\) and exact \(40, 41\), found \(2, 41, 41\)"):
        feasible_region([bad])


def a_path(start: str, *, h: tuple[float, ...] = (-1.0, -1.0, -1.0)) -> Trajectory:
    return Trajectory(np.stack([np.arange(3.0), np.ones(3)], -1), np.array(h), start)


def red_points(axes: Axes) -> int:
    (found,) = [artist for artist in axes.collections if artist.get_label() == "violating"]
    assert [to_hex(color) for color in found.get_facecolor()] == [VIOLATION.lower()]  # pyright: ignore
    return len(found.get_offsets())  # pyright: ignore


def test_trajectories_mark_violations_in_red_and_count_the_clean_ones() -> None:
    paths = [a_path("feasible"), a_path("feasible", h=(-1, 0.1, 0.2)), a_path("infeasible", h=(0.1, 0.0, -1))]
    figure = trajectories([*paths, a_path("fixed", h=(-1, -1, 0.01))])
    left, right = figure.axes
    assert left.get_title() == "Feasible starts: 1 of 2 without violation"
    assert right.get_title() == "Infeasible starts: 0 of 1 without violation"
    assert red_points(left) == 3  # two of the second path, one of the fixed start
    assert red_points(right) == 1  # h = 0 is no violation
    assert [len(artist.get_paths()) for artist in left.collections[:2]] == [2, 1]  # thin ones, fixed ones
    assert legend_texts(figure) == ["trajectory", "start", "fixed start", "violating step", "hazard", "goal"]
    assert {left.get_xlabel(), right.get_xlabel(), left.get_ylabel()} == {"x, m", "y, m"}


def test_trajectories_draw_a_part_but_count_all() -> None:
    figure = trajectories([a_path("feasible")] * 9, most=4)
    (axes,) = figure.axes
    assert axes.get_title() == "Feasible starts: 9 of 9 without violation, 4 drawn"
    assert len(axes.collections[0].get_paths()) == 4
    assert "fixed start" not in legend_texts(figure)


def test_trajectories_refuse() -> None:
    with pytest.raises(ConfigError, match="at least one path"):
        trajectories([])
    with pytest.raises(ConfigError, match="found 'random'"):
        trajectories([a_path("random")])
    with pytest.raises(ConfigError, match=r"in path 0, found \(3, 2\) and \(2,\)"):
        trajectories([a_path("feasible", h=(0.0, 0.0))])


def test_training_curves_average_the_seeds_and_shade_the_second_phase() -> None:
    rows = [{"step": s, "phase": "values", "seed": k, "critic/loss": s + 2.0 * k} for k in (0, 1) for s in (20, 10)]
    rows += [{"step": s, "phase": "policy", "seed": k, "policy/loss": 10.0**-s} for k in (0, 1) for s in (24, 30)]
    figure = training_curves(rows)
    critic, policy = figure.axes
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["critic/loss", "policy/loss"]
    (mean,) = [line for line in critic.lines if line.get_label() == "critic/loss"]
    assert np.asarray(mean.get_xydata()).tolist() == [[10, 11], [20, 21]]  # (10 + 12) / 2 and (20 + 22) / 2
    seeds = [line for line in critic.lines if line.get_label() == "_seed"]
    assert [np.asarray(line.get_ydata()).tolist() for line in seeds] == [[10, 20], [12, 22]]
    (band,) = critic.patches
    shaded = band.get_extents().transformed(critic.transData.inverted())
    assert (shaded.x0, shaded.x1) == pytest.approx((20, 30))
    assert critic.get_xlim() == policy.get_xlim() == (0, 30)
    assert (critic.get_yscale(), policy.get_yscale()) == ("linear", "log")  # six decades
    assert [text.get_text() for text in critic.texts] == ["values", "policy"]
    assert figure.get_supxlabel() == "updates"
    assert legend_texts(figure) == ["mean of 2 seeds", "each seed"]


def test_a_phase_too_short_for_its_name_goes_without() -> None:
    """One update of 31: its name would lie over its neighbour's."""
    rows = [{"step": s, "phase": name, "seed": 0, "loss": 1.0} for s, name in ((20, "a"), (30, "b"), (31, "c"))]
    (axes,) = training_curves(rows).axes
    assert [text.get_text() for text in axes.texts] == ["a", "b"]


def test_training_curves_take_one_row_and_refuse_none() -> None:
    figure = training_curves([{"step": 0, "phase": "joint", "seed": 0, "loss": 1.0, "note": "x"}])
    figure.draw_without_rendering()
    assert legend_texts(figure) == ["the only seed"]
    with pytest.raises(DataError, match="at least one row with a metric"):
        training_curves([])
    with pytest.raises(DataError, match="key 'phase' of row 0"):
        training_curves([{"step": 1, "loss": 1.0}])


def test_front_shows_shares_intervals_labels_and_targets() -> None:
    series = [
        FrontSeries("FISOR", (FrontPoint(2.6, 200, 200, "0.2"), FrontPoint(3.4, 170, 200, "0.1"))),
        FrontSeries("BC", (FrontPoint(1.8, 160, 200),)),
    ]
    figure = front(series)
    (axes,) = figure.axes
    fisor, cloned = axes.containers
    assert fisor[0].get_xydata().tolist() == [[2.6, 1.0], [3.4, 0.85]]  # pyright: ignore
    assert cloned[0].get_xydata().tolist() == [[1.8, 0.8]]  # pyright: ignore
    # All of 200: the interval reaches from 200 / (200 + 3.841459) = 0.981155 to 1.
    segment = fisor[2][1].get_segments()[0]  # pyright: ignore
    assert segment[:, 1] == pytest.approx([0.981155, 1.0], abs=1e-6)
    assert [text.get_text() for text in axes.texts][:2] == ["0.2", "0.1"]
    flat, upright = (line for line in axes.lines if line.get_color() == "#767676")
    assert flat.get_ydata() == [0.99, 0.99]
    assert upright.get_xdata() == [2.5, 2.5]
    assert legend_texts(figure) == ["FISOR", "BC"]
    assert axes.get_xlabel().startswith("mean return, m")
    low, high = axes.get_ylim()
    assert low < 0.8
    assert high > 1.0


def test_front_spreads_what_lies_near_all() -> None:
    (axes,) = front([FrontSeries("one", (FrontPoint(1.0, 80, 100), FrontPoint(2.0, 100, 100)))]).axes
    height = {share: axes.transData.transform((1.0, share))[1] for share in (0.8, 0.98, 0.99, 1.0)}
    # The last per cent takes more room than the one before, and at least a sixth of all from 80 % to 100 %.
    assert height[1.0] - height[0.99] > height[0.99] - height[0.98]
    assert (height[1.0] - height[0.99]) / (height[1.0] - height[0.8]) > 1 / 6


def test_front_refuses() -> None:
    with pytest.raises(ConfigError, match="at least one point"):
        front([FrontSeries("empty", ())])
    with pytest.raises(ConfigError, match="found 3 of 2"):
        front([FrontSeries("x", (FrontPoint(1.0, 3, 2),))])


def test_data_overview_shows_every_episode() -> None:
    figure = data_overview([1.0, 2.0, 3.0], [0, 5, 0], [10, 20, 300], groups=["b", "a", "b"])
    left, right = figure.axes
    first, second = left.collections
    assert np.asarray(first.get_offsets()).tolist() == [[1, 0], [3, 0]]
    assert np.asarray(second.get_offsets()).tolist() == [[2, 5]]
    assert sum(patch.get_height() for patch in right.patches) == 3  # pyright: ignore
    assert [text.get_text() for text in left.texts] == ["median 2"]
    assert legend_texts(figure) == ["b (2)", "a (1)"]
    assert left.get_ylabel() == "cost return, violating steps"
    assert right.get_xlabel() == "episode length, steps"
    assert legend_texts(data_overview([1.0], [0], [10])) == []


def test_data_overview_refuses() -> None:
    with pytest.raises(ConfigError, match=r"found counts \[2, 1, 2, 2\]"):
        data_overview([1, 2], [0], [1, 2])
    with pytest.raises(ConfigError, match="at least one"):
        data_overview([], [], [])
    with pytest.raises(DataError, match="found NaN or infinity"):
        data_overview([math.nan], [0], [1])


def test_figures_come_without_pyplot_and_leave_the_settings_alone() -> None:
    code = (
        "import sys, matplotlib\n"
        # Reading the backend would itself load pyplot to choose one.
        "settings = lambda: {key: matplotlib.rcParams[key] for key in matplotlib.rcParams if key != 'backend'}\n"
        "before = settings()\n"
        "from surefoot.report.plots import data_overview; data_overview([1.0], [0], [3]).draw_without_rendering()\n"
        "assert 'matplotlib.pyplot' not in sys.modules and settings() == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
