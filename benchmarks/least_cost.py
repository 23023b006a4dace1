"""BCRL's budgets on PointRobot against the exact least cost still to come.

    python benchmarks/least_cost.py RUN [--out results/least_cost]

RUN is what `surefoot train --algorithm bcrl --task PointRobot` wrote. The exact least discounted cost C(s) of violating
steps is found by dynamic programming on a grid of poses (1 CPU minute); {C <= b + 1/2} are the states from which a
budget of b violating steps can be kept (costs are whole steps, so half a step decides). One model is held against it at
several budgets, on the three published slices. Writes rows for each seed, a table and a figure.
"""

import argparse
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Circle

import _machine
from surefoot.algorithms.bcrl import BCRL
from surefoot.envs.point_robot import HAZARD_RADIUS, HAZARDS, TIME_STEP, observe
from surefoot.numerics import pinned
from surefoot.report.style import BLUE, GREEN, GREY, ORANGE, VERMILION, new_figure, png_of, styled
from surefoot.report.tables import markdown_table
from surefoot.result_files import write_results
from surefoot.runs.loaded import load_run
from surefoot.safety.exact import cell_centers, slice_poses, solve_point_robot
from surefoot.safety.region import SLICES, score_region

RESOLUTION, REACH = 101, 2.5
"""Cells along each side of a slice, and half its side in metres: without the poses at the arena's border."""
TARGET = 0.9
"""Least agreement of the states from which a budget can be kept, asked of each budget."""
BUDGETS = (0.0, 5.0, 10.0, 20.0)
"""Violating steps, discounted."""
SPACING, EXTENT, HEADINGS, TOP_SPEED = 0.05, 3.0, 63, 2.3
"""Metres between grid points, to which distance; headings about a macro step's turn apart; m/s."""
MACRO = 2
"""Environment steps of a step of the dynamic programming, so that speeds and headings move from level to level."""


class LeastCost:
    """C on a grid [speed, heading, x, y] from speed 0 up: driving backwards is driving forwards, turned around."""

    def __init__(self, *, discount: float, spacing: float = SPACING, sweeps: int = 90) -> None:
        self.step = MACRO * TIME_STEP
        self.axis = np.arange(-math.ceil(EXTENT / spacing), math.ceil(EXTENT / spacing) + 1) * spacing
        self.spacing = spacing
        self.speeds = np.arange(round(TOP_SPEED / self.step) + 1) * self.step
        self.angles = np.arange(HEADINGS) * (2 * math.pi / HEADINGS)
        size = len(self.axis)
        self.values = np.zeros((len(self.speeds), HEADINGS, size, size), np.float32)
        self.discount = discount
        free = self._free()
        for _ in range(sweeps):
            before = self.values
            self.values = np.where(free, 0.0, self._sweep(before))
            if np.abs(self.values - before).max() < 1e-2:
                break

    def _free(self) -> np.ndarray:
        """Where no violation is needed, by the exact feasible set, whose border bilinear steps would wash out."""
        exact = solve_point_robot(spacing=self.spacing, headings=HEADINGS, top_speed=TOP_SPEED)
        rim = (len(exact.axis) - len(self.axis)) // 2
        return exact.values[::MACRO, :, rim:-rim, rim:-rim] <= 0

    def _sweep(self, values: np.ndarray) -> np.ndarray:
        best = self._best(values)
        found = np.empty_like(values)
        for place, speed in enumerate(self.speeds):
            for turn, angle in enumerate(self.angles):
                way = speed * self.step * np.array([math.cos(angle), math.sin(angle)])
                cost = sum(self.discount**part * self._violates((part + 1) / MACRO * way) for part in range(MACRO))
                moved = self._shifted(best[place, turn], way)
                found[place, turn] = cost + self.discount**MACRO * moved
        return found

    def _best(self, values: np.ndarray) -> np.ndarray:
        """The smallest value after accelerating and turning by -1, 0 or 1, before the way is driven."""
        turned = np.minimum(values, np.minimum(np.roll(values, 1, 1), np.roll(values, -1, 1)))
        opposite = np.roll(turned[1:2], HEADINGS // 2, 1)  # slower than standing still: backwards
        slower, faster = np.concatenate([opposite, turned[:-1]]), np.concatenate([turned[1:], turned[-1:]])
        return np.minimum(turned, np.minimum(slower, faster))

    def _violates(self, way: np.ndarray) -> np.ndarray:
        x, y = self.axis[:, None] + way[0], self.axis[None] + way[1]
        near = [np.hypot(x - one[0], y - one[1]) < HAZARD_RADIUS for one in HAZARDS]
        return (near[0] | near[1]).astype(np.float32)

    def _shifted(self, plane: np.ndarray, way: np.ndarray) -> np.ndarray:
        """The plane at positions moved by `way`, bilinear; 0 outside of the grid, where nothing costs."""
        cells = way / self.spacing
        low = np.floor(cells).astype(int)
        share = cells - low
        found = np.zeros_like(plane)
        for dx, weight_x in ((0, 1 - share[0]), (1, share[0])):
            for dy, weight_y in ((0, 1 - share[1]), (1, share[1])):
                if weight := weight_x * weight_y:
                    found += weight * _moved(plane, low[0] + dx, low[1] + dy)
        return found

    def value(self, poses: np.ndarray) -> np.ndarray:
        """C at poses (x, y, v, theta), v >= 0: linear in x, y and v, at the nearest heading."""
        place = poses[:, 2] / self.step
        turn = np.rint(poses[:, 3] / (2 * math.pi) * HEADINGS).astype(int) % HEADINGS
        x, y = ((poses[:, axis] - self.axis[0]) / self.spacing for axis in (0, 1))
        total = np.zeros(len(poses))
        for corner in np.ndindex(2, 2, 2):
            weight, index = np.ones(len(poses)), []
            sizes = (len(self.speeds), len(self.axis), len(self.axis))
            for coordinate, up, size in zip((place, x, y), corner, sizes, strict=True):
                low = np.clip(np.floor(coordinate).astype(int), 0, size - 2)
                share = np.clip(coordinate - low, 0.0, 1.0)
                weight = weight * (share if up else 1.0 - share)
                index.append(low + up)
            total += weight * self.values[index[0], turn, index[1], index[2]]
        return total


def _moved(plane: np.ndarray, dx: int, dy: int) -> np.ndarray:
    """plane[i + dx, j + dy], 0 outside."""
    found = np.zeros_like(plane)
    size = len(plane)
    rows, columns = slice(max(0, -dx), min(size, size - dx)), slice(max(0, -dy), min(size, size - dy))
    source = plane[slice(max(0, dx), min(size, size + dx)), slice(max(0, dy), min(size, size + dy))]
    found[rows, columns] = source
    return found


def poses_of_slices() -> np.ndarray:
    """Poses of the three published slices, without those at the arena's border."""
    return np.concatenate([slice_poses(*one, resolution=RESOLUTION, extent=REACH) for one in SLICES])


def scores(learned: np.ndarray, exact: np.ndarray) -> list[dict[str, float]]:
    """At each budget: how well the states agree from which it cannot be kept, and those from which it can."""
    found = []
    for budget in BUDGETS:
        region = score_region(learned - budget - 0.5, exact - budget - 0.5)
        kept = score_region(budget + 0.5 - learned, budget + 0.5 - exact)
        found.append(
            {
                "budget": budget,
                "iou_kept": kept.iou,
                "iou_not_kept": region.iou,
                "false_safe_rate": region.false_safe_rate,
                "share_not_kept": float((exact > budget + 0.5).mean()),
            }
        )
    return found


def table(rows: list[dict[str, Any]]) -> str:
    """A row for each budget, in Markdown: the worst and the best seed."""

    def span(name: str, found: list[dict[str, Any]]) -> str:
        low, high = (pick(one[name] for one in found) for pick in (min, max))
        return f"{low:.3f}" if f"{low:.3f}" == f"{high:.3f}" else f"{low:.3f} to {high:.3f}"

    lines = []
    for budget in BUDGETS:
        found = [row for row in rows if row["budget"] == budget]
        most = found[0]["share_not_kept"]
        lines.append(
            {
                "budget": f"{budget:g}",
                "states that keep it": f"{100 * (1 - most):.1f} %",
                "IoU of those": span("iou_kept", found),
                "if all were said to": f"{1 - most:.3f}",
                "IoU of the others": span("iou_not_kept", found) if most > 0.01 else "",
                "others said to keep it": span("false_safe_rate", found) if most > 0.01 else "",
            }
        )
    return markdown_table(lines)


@styled
def picture(learned: np.ndarray, exact: np.ndarray) -> Any:
    """The borders of the first seed's states that keep each budget [slice, y, x], the exact ones dashed."""
    figure, axis = new_figure(3.6, square=True), cell_centers(RESOLUTION, REACH)
    panels = figure.subplots(1, len(SLICES), sharex=True, sharey=True)
    colours = (BLUE, GREEN, ORANGE, VERMILION)
    for axes, (speed, heading), ours, true in zip(panels, SLICES, learned, exact, strict=True):
        for budget, colour in zip(BUDGETS, colours, strict=True):
            for values, look in ((ours, "solid"), (true, "dashed")):
                if values.min() < budget + 0.5 < values.max():
                    axes.contour(axis, axis, values, levels=[budget + 0.5], colors=colour, linestyles=look)
        for center in HAZARDS:
            axes.add_patch(Circle(tuple(center), HAZARD_RADIUS, facecolor="#E4E4E4", edgecolor=GREY, linewidth=0.5))
        axes.set_title(f"v = {speed:g} m/s, \N{GREEK SMALL LETTER THETA} = {math.degrees(heading):.0f}°")
        axes.set_xlabel("x, m")
    panels[0].set_ylabel("y, m")
    marks = [
        Line2D([], [], color=colour, label=f"budget {one:g}") for one, colour in zip(BUDGETS, colours, strict=True)
    ]
    marks.append(Line2D([], [], color=GREY, linestyle="dashed", label="exact"))
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks))
    return figure


@pinned()
def main() -> None:
    """Solve, ask the model, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, default=Path("results/least_cost"))
    options = parser.parse_args()
    run = load_run(options.run, {})
    algorithm = run.algorithm
    assert isinstance(algorithm, BCRL)
    exact, poses = LeastCost(discount=algorithm.budget_discount), poses_of_slices()
    least = exact.value(poses)
    check = score_region(least - 0.5, solve_point_robot().value(poses))
    observation = observe(jnp.asarray(poses, jnp.float32))
    learned = np.asarray(jax.lax.map(lambda state: algorithm.cost_to_come(state, observation), run.states))
    rows = [
        {"seed": seed, **one}
        for seed, values in zip(run.config.seeds, learned, strict=True)
        for one in scores(values, least)
    ]
    worst = min(row["iou_kept"] for row in rows)
    print(table(rows), _machine.verdict(worst, TARGET))
    summary = _machine.head() | {
        "target": TARGET, "worst_iou_kept": worst, "iou_of_zero_with_exact_set": check.iou,
        "updates": run.step, "checkpoint_sha256": run.sha256, "trained": " ".join(run.config.command),
    }  # fmt: skip
    shape = (len(SLICES), RESOLUTION, RESOLUTION)
    drawn = png_of(picture(learned[0].reshape(shape), least.reshape(shape)), dpi=130)
    write_results(
        options.out,
        {"rows.jsonl.gz": rows, "summary.json": summary, "table.md": table(rows), "borders.png": drawn},
    )


if __name__ == "__main__":
    main()
