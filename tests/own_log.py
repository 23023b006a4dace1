"""A small system of one's own: its log as columns and in every format, and its task file."""

import csv
from pathlib import Path

import numpy as np

TANK = """\
[task]
name = "tank"
horizon = 40

[observation]
columns = ["level", "flow_*"]
units = { level = "m" }

[action]
columns = ["valve"]
low = [0.0]
high = [10.0]

[reward]
column = "reward"

[[constraint]]
name = "level"
expression = "abs(level - 0.5) - 0.3"
unit = "m"

[[constraint]]
name = "trip"
column = "trip"
kind = "cost"

[episodes]
by = "episode"
terminated = "done"
time = "t"
step_seconds = 2.0
"""


def tank_columns(*, episodes: int = 8, steps: int = 20, seed: int = 0) -> dict[str, np.ndarray]:
    """A log: the level wanders; leaving 0.2 to 0.8 trips in the row of the step that led there."""
    random = np.random.default_rng(seed)
    rows: list[dict[str, float]] = []
    for episode in range(episodes):
        level = 0.5
        for step in range(steps):
            valve = float(random.uniform(0, 10))
            entered = level + 0.02 * (valve - 5) + 0.05 * random.normal()
            trip = abs(entered - 0.5) > 0.3
            rows.append(
                {"episode": episode, "t": 2.0 * step, "level": level, "flow_1": 3 * level, "flow_2": random.normal(),
                 "valve": valve, "reward": -abs(level - 0.5), "trip": float(trip), "done": 0.0}
            )  # fmt: skip
            level = entered
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def write_csv(path: Path, columns: dict[str, np.ndarray], *, delimiter: str = ",") -> Path:
    """The columns as a CSV file."""
    with path.open("w", newline="") as file:
        table = csv.writer(file, delimiter=delimiter)
        table.writerow(columns)
        table.writerows(zip(*(values.tolist() for values in columns.values()), strict=True))
    return path


def write_task(folder: Path, text: str = TANK) -> Path:
    """The task file."""
    path = folder / "task.toml"
    path.write_text(text)
    return path
