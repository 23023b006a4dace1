"""What each method believes is safe on PointRobot, beside the exact feasible set.

    python benchmarks/believed_safe.py RUN... [--out results/believed_safe]

RUN is what `surefoot train --task PointRobot` wrote with an algorithm that offers a cost to come or a feasible value
(`surefoot algorithms`). A state is believed safe where V_h <= 0, or where the discounted cost to come of acting as the
policy does is at most half a violating step. Scored on the three published slices: IoU of the infeasible sets,
infeasible states believed safe, AUROC, which asks for the order alone. Writes rows for each seed and slice, a table and
a figure.
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
from surefoot.envs.point_robot import HAZARD_RADIUS, HAZARDS, observe
from surefoot.errors import ConfigError
from surefoot.evaluation.metrics import area_under_curve
from surefoot.numerics import pinned
from surefoot.protocols import HasCostToCome, HasFeasibleValue
from surefoot.report.style import BLUE, GREY, INK, VERMILION, new_figure, png_of, styled
from surefoot.report.tables import markdown_table
from surefoot.result_files import write_results
from surefoot.runs.loaded import LoadedRun, load_run
from surefoot.safety.exact import cell_centers, slice_poses, solve_point_robot
from surefoot.safety.region import SLICES, score_region

RESOLUTION, REACH = 101, 2.7
"""Cells along each side of a slice, and half its side in metres."""
HALF_A_STEP = 0.5
"""Cost to come above which a state is not believed safe: costs are whole steps."""
DRAWN = 1
"""The slice of the figure."""


def doubt(run: LoadedRun, observation: Any) -> tuple[str, np.ndarray]:
    """What is asked, and its values [seed, n], above 0 where a state is not believed safe."""
    algorithm = run.algorithm
    if isinstance(algorithm, HasCostToCome):
        cost = jax.lax.map(lambda state: algorithm.cost_to_come(state, observation), run.states)
        return "cost to come", np.asarray(cost) - HALF_A_STEP
    if isinstance(algorithm, HasFeasibleValue):
        return "feasible value", np.asarray(
            jax.lax.map(lambda state: algorithm.feasible_value(state, observation), run.states)
        )
    raise ConfigError(f"{run.directory.path}: expected an algorithm with values of states, found {algorithm}.")


def scored(run: LoadedRun, asked: str, values: np.ndarray, exact: np.ndarray) -> list[dict[str, Any]]:
    """A row for each seed and slice; `values` [seed, slice, n]."""
    rows = []
    for seed, of_seed in zip(run.config.seeds, values, strict=True):
        for (speed, heading), value, true in zip(SLICES, of_seed, exact, strict=True):
            found = score_region(value, true)._asdict() | {"auroc": area_under_curve(value, true > 0)}
            rows.append({"method": run.config.algorithm, "asked": asked, "seed": seed, "speed": speed,
                         "heading": heading} | found)  # fmt: skip
    return rows


def mean_of(rows: list[dict[str, Any]], method: str, key: str) -> float:
    """Over seeds and slices."""
    return float(np.mean([row[key] for row in rows if row["method"] == method]))


def table(rows: list[dict[str, Any]]) -> str:
    """Means over seeds and slices, the best region first."""
    asked = {row["method"]: row["asked"] for row in rows}
    order = sorted(asked, key=lambda method: -mean_of(rows, method, "iou"))
    return markdown_table(
        [
            {
                "method": method,
                "asked of a state": asked[method],
                "IoU": f"{mean_of(rows, method, 'iou'):.3f}",
                "infeasible, believed safe": f"{100 * mean_of(rows, method, 'false_safe_rate'):.1f} %",
                "feasible, not believed safe": f"{100 * mean_of(rows, method, 'false_alarm_rate'):.1f} %",
                "AUROC": f"{mean_of(rows, method, 'auroc'):.3f}",
            }
            for method in order
        ]
    )


@styled
def picture(values: dict[str, np.ndarray], exact: np.ndarray, rows: list[dict[str, Any]]) -> Any:
    """A panel for each method on one slice: where every seed doubts, the first seed's border, the exact one dashed."""
    columns = 3
    figure, axis = new_figure(3.1 * math.ceil(len(values) / columns), square=True), cell_centers(RESOLUTION, REACH)
    panels = figure.subplots(math.ceil(len(values) / columns), columns, sharex=True, sharey=True, squeeze=False).ravel()
    grid = (RESOLUTION, RESOLUTION)
    for axes in panels[len(values) :]:
        axes.set_axis_off()
    for axes, (method, of_seeds) in zip(panels, values.items(), strict=False):
        for index, seed in enumerate(of_seeds[:, DRAWN].reshape(-1, *grid)):
            axes.contourf(axis, axis, seed, levels=[0.0, np.inf], colors=[BLUE], alpha=0.25)
            if seed.min() < 0 < seed.max():
                axes.contour(axis, axis, seed, levels=[0.0], colors=BLUE, linewidths=0.8 if index else 1.6)
        axes.contour(axis, axis, exact[DRAWN].reshape(grid), levels=[0.0], colors=INK, linestyles="dashed")
        for center in HAZARDS:
            axes.add_patch(Circle(tuple(center), HAZARD_RADIUS, facecolor="none", edgecolor=VERMILION, linewidth=0.8))
        scores = [mean_of(rows, method, key) for key in ("iou", "auroc")]
        axes.set_title(f"{method}: IoU {scores[0]:.2f}, AUROC {scores[1]:.3f}")
        axes.set_aspect("equal")
        axes.set_xticks([-2, 0, 2])
        axes.set_yticks([-2, 0, 2])
    marks = [
        Line2D([], [], color=BLUE, linewidth=1.6, label="not believed safe"),
        Line2D([], [], color=INK, linestyle="dashed", label="exact border"),
        Line2D([], [], color=VERMILION, linewidth=0.8, label="hazard"),
        Line2D([], [], color=GREY, linestyle="none", label="x and y in metres, 1 m/s to the top"),
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks))
    return figure


@pinned()
def main() -> None:
    """Ask, score, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=Path("results/believed_safe"))
    options = parser.parse_args()
    poses = np.concatenate([slice_poses(*one, resolution=RESOLUTION, extent=REACH) for one in SLICES])
    exact = solve_point_robot().value(poses).reshape(len(SLICES), -1)
    observation = observe(jnp.asarray(poses, jnp.float32))
    values: dict[str, np.ndarray] = {}
    rows: list[dict[str, Any]] = []
    trained: dict[str, Any] = {}
    for path in options.runs:
        run = load_run(path, {})
        asked, found = doubt(run, observation)
        values[run.config.algorithm] = found.reshape(len(found), len(SLICES), -1)
        rows += scored(run, asked, values[run.config.algorithm], exact)
        trained[run.config.algorithm] = {
            "command": " ".join(run.config.command), "updates": run.step, "checkpoint_sha256": run.sha256,
        }  # fmt: skip
    print(table(rows))
    summary = _machine.head() | {"half_a_step": HALF_A_STEP, "runs": trained}
    contents = {"rows.jsonl.gz": rows, "summary.json": summary, "table.md": table(rows)}
    write_results(options.out, contents | {"believed_safe.png": png_of(picture(values, exact, rows), dpi=130)})


if __name__ == "__main__":
    main()
