"""Plant mistakes into the logs of small systems, import them, and count which ones `surefoot data check` finds.

    python benchmarks/planted_log_faults.py --out results/own_logs

Each system has a clean log, where a signal h says what the costs say, and one log for each mistake: h with the wrong
sign, shifted by one or more steps, or about something else than the costs. Thresholds (`data/logs/check.py`) were
chosen on the systems of `CHOSEN_ON` and are tested on the others.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from surefoot import data
from surefoot.data.logs import import_log
from surefoot.data.logs.arrays import frame_log
from surefoot.data.logs.check import log_remarks, read_checked
from surefoot.result_files import write_results
from surefoot.tasks.read_task_file import TaskFileReader
from surefoot.tasks.task_file import ActionTable, ConstraintTable, EpisodesTable, ObservationTable, TaskFile, TaskTable

CHOSEN_ON = ("tank", "cart")
EPISODES, STEPS = 60, 120
SIGN, LAG, OTHER, CLEAN = "looks reversed", "are shifted", "contradicts", ""


@dataclass(frozen=True)
class System:
    """Trajectories of a system, and where each of their states is a violation."""

    name: str
    states: np.ndarray
    """[episodes, steps + 1, dimensions]."""
    actions: np.ndarray
    """[episodes, steps]."""
    h: np.ndarray
    """[episodes, steps + 1], of each state."""


@dataclass(frozen=True)
class Plant:
    """A mistake: how h and the costs [episodes, rows] come into the log, and the word that finds it."""

    name: str
    word: str
    change: Callable[[np.ndarray, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]
    safe_above: bool = False


def shifted(steps: int) -> Callable[[np.ndarray, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]:
    """h of so many steps before (after, where negative)."""

    def change(h: np.ndarray, costs: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        del random
        rows = np.clip(np.arange(h.shape[1]) - steps, 0, h.shape[1] - 1)
        return h[:, rows], costs

    return change


def flipped(h: np.ndarray, costs: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A third of the rows with a cost has lost it, and as many others have one."""
    lost = (costs > 0) & (random.random(costs.shape) < 1 / 3)
    share = lost.sum() / max(1, (costs == 0).sum())
    won = (costs == 0) & (random.random(costs.shape) < share)
    return h, np.where(lost, 0.0, np.where(won, 1.0, costs))


def lenient(h: np.ndarray, costs: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A limit of h beyond that of the costs: the median violation is none."""
    del random
    return h - np.median(h[h > 0]), costs


PLANTS = (
    Plant("clean", CLEAN, lambda h, costs, random: (h, costs)),
    Plant(
        "clean, h measured with noise", CLEAN, lambda h, c, random: (h + random.normal(0, 0.002 * h.std(), h.shape), c)
    ),
    Plant("clean, safe above 0", CLEAN, lambda h, costs, random: (-h, costs), safe_above=True),
    Plant("wrong sign", SIGN, lambda h, costs, random: (-h, costs)),
    Plant("wrong sign, by the key", SIGN, lambda h, costs, random: (h, costs), safe_above=True),
    Plant("one step late", LAG, shifted(1)),
    Plant("one step early", LAG, shifted(-1)),
    Plant("two steps late", LAG, shifted(2)),
    Plant("a third of the costs elsewhere", OTHER, flipped),
    Plant("another limit", OTHER, lenient),
)


def main() -> None:
    """Write the rows and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    rows = [row for seed in range(options.seeds) for row in rows_of(seed)]
    text = table(rows)
    write_results(options.out, {"planted.jsonl.gz": rows, "planted.md": text})
    print(text)


def rows_of(
    seed: int, *, systems: Mapping[str, Callable[[np.random.Generator], System]] | None = None
) -> Iterator[dict[str, object]]:
    """One row for each system and plant."""
    for name, make in (systems or SYSTEMS).items():
        system = make(np.random.default_rng([seed, len(name)]))
        for plant in PLANTS:
            found = sentences(system, plant, np.random.default_rng(seed))
            about_h = [one for one in found if one.startswith("constraint")]
            caught = any(plant.word in one for one in about_h) if plant.word else not found
            yield {
                "system": name, "chosen_on": name in CHOSEN_ON, "plant": plant.name, "seed": seed,
                "violating": float((system.h > 0).mean()), "right": bool(caught), "sentences": found,
            }  # fmt: skip


def sentences(system: System, plant: Plant, random: np.random.Generator) -> list[str]:
    """What is said of the imported log with the mistake in it."""
    costs = (system.h[:, 1:] > 0).astype(np.float64)  # of the step into a state
    h, costs = plant.change(system.h, costs, random)
    episodes, rows = system.actions.shape
    columns = {f"x{number}": system.states[:, :, number] for number in range(system.states.shape[2])}
    last = np.full((episodes, 1), np.nan)
    columns |= {"u": np.hstack([system.actions, last]), "cost": np.hstack([costs, np.zeros((episodes, 1))]), "h": h}
    columns |= {"episode": np.repeat(np.arange(episodes)[:, None], rows + 1, 1).astype(float)}
    seen = tuple(name for name in columns if name.startswith("x"))
    signal = ConstraintTable("h", column="h", safe="above 0" if plant.safe_above else "below 0")
    file = TaskFile(
        TaskTable("planted", horizon=rows),
        ObservationTable(seen),
        ActionTable(("u",)),
        (signal, ConstraintTable("cost", column="cost", kind="cost")),
        EpisodesTable(by="episode"),
    )
    file = replace(file, reward=None)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "data.hdf5"
        log = frame_log({name: values.reshape(-1) for name, values in columns.items()})
        imported = import_log(log, file, TaskFileReader(Path("planted"), ""), out)
        return log_remarks(read_checked(out, data.load(out, imported.task), imported.file))


# --- systems ---------------------------------------------------------------------------------------------------------


def _rolled(name: str, random: np.random.Generator, start: np.ndarray, step: Callable, h: Callable) -> System:
    """Trajectories under actions that change slowly, in [-1, 1]."""
    states, actions = [start], []
    wish = random.uniform(-1, 1, EPISODES)
    for _ in range(STEPS):
        wish = np.clip(wish + 0.3 * random.normal(size=EPISODES), -1, 1)
        actions.append(wish)
        states.append(step(states[-1], wish, random))
    trajectory = np.stack(states, 1)
    return System(name, trajectory, np.stack(actions, 1), h(trajectory))


def tank(random: np.random.Generator) -> System:
    """A level with noise that must stay within a band."""
    start = random.uniform(0.4, 0.6, (EPISODES, 1))
    return _rolled("tank", random, start,
                   lambda s, u, r: np.clip(s + 0.02 * u[:, None] + 0.02 * r.normal(size=s.shape), 0, 1),
                   lambda s: np.abs(s[..., 0] - 0.5) - 0.3)  # fmt: skip


def cart(random: np.random.Generator) -> System:
    """A double integrator in front of a wall, which is left again only slowly."""
    start = np.stack([random.uniform(-1, 0, EPISODES), random.normal(0, 0.1, EPISODES)], 1)
    return _rolled("cart", random, start,
                   lambda s, u, r: np.stack([s[:, 0] + 0.1 * s[:, 1], 0.98 * s[:, 1] + 0.1 * u], 1),
                   lambda s: s[..., 0] - 0.8)  # fmt: skip


def pendulum(random: np.random.Generator) -> System:
    """A swinging pendulum with a limit on its speed, of short violations."""
    start = np.stack([random.uniform(-3, 3, EPISODES), random.uniform(-1, 1, EPISODES)], 1)

    def step(s: np.ndarray, u: np.ndarray, r: np.random.Generator) -> np.ndarray:
        speed = np.clip(s[:, 1] + 0.05 * (15 * np.sin(s[:, 0]) + 6 * u), -8, 8)
        return np.stack([s[:, 0] + 0.05 * speed, speed], 1)

    return _rolled("pendulum", random, start, step, lambda s: np.abs(s[..., 1]) - 6)


def heater(random: np.random.Generator) -> System:
    """A slow first-order temperature in kelvin, long above its limit."""
    start = random.uniform(290, 330, (EPISODES, 1))
    return _rolled("heater", random, start,
                   lambda s, u, r: s + 0.05 * (320 + 40 * u[:, None] - s) + 0.1 * r.normal(size=s.shape),
                   lambda s: s[..., 0] - 330)  # fmt: skip


def obstacle(random: np.random.Generator) -> System:
    """A point in the plane that must not come near a disk; h in millimetres."""
    start = random.uniform(-2, 2, (EPISODES, 2))

    def step(s: np.ndarray, u: np.ndarray, r: np.random.Generator) -> np.ndarray:
        return np.clip(s + 0.15 * np.stack([np.cos(3 * u), np.sin(3 * u)], 1), -2, 2)

    return _rolled("obstacle", random, start, step, lambda s: 1000 * (0.7 - np.hypot(s[..., 0], s[..., 1])))


def trips(random: np.random.Generator) -> System:
    """A drifting pressure that hardly ever exceeds its limit."""
    start = random.uniform(2.0, 3.0, (EPISODES, 1))
    return _rolled("trips", random, start,
                   lambda s, u, r: np.clip(s + 0.01 * u[:, None] + 0.06 * r.normal(size=s.shape), 1, 5),
                   lambda s: s[..., 0] - 3.6)  # fmt: skip


SYSTEMS: dict[str, Callable[[np.random.Generator], System]] = {
    make.__name__: make for make in (tank, cart, pendulum, heater, obstacle, trips)
}


def table(rows: list[dict[str, object]]) -> str:
    """Cases that were judged rightly, by plant and by whether thresholds were chosen on the system."""
    lines = [
        "Mistakes planted into logs, found by `surefoot data check` "
        "(`python benchmarks/planted_log_faults.py --out results/own_logs`).",
        "",
        "| log | found on systems of the choice | found on the others |",
        "| --- | --- | --- |",
    ]
    for plant in PLANTS:
        cells = []
        for chosen in (True, False):
            some = [row["right"] for row in rows if row["plant"] == plant.name and row["chosen_on"] == chosen]
            cells.append(f"{sum(map(bool, some))} of {len(some)}")
        what = "no alarm" if not plant.word else "found"
        lines.append(f"| {plant.name} ({what}) | {cells[0]} | {cells[1]} |")
    planted = [row["right"] for row in rows if not str(row["plant"]).startswith("clean") and not row["chosen_on"]]
    clean = [row["right"] for row in rows if str(row["plant"]).startswith("clean") and not row["chosen_on"]]
    lines += [
        "",
        f"On the other systems {sum(map(bool, planted))} of {len(planted)} mistakes were found by their name, and "
        f"{len(clean) - sum(map(bool, clean))} of {len(clean)} clean logs had an alarm.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
