"""The verdict's figures on actions: of policies, and of actions that are known to be usual or bad ones.

    python benchmarks/far_actions.py STORE DATA --tasks BallRun PointCircle1    # prints a line for each run

STORE and DATA as in verdict.py. Of FISOR's kept networks: the share of far actions where "usual" is what 95 % of the
logged actions are, and what the most unusual of 8 draws is in 95 % of the cases; the same of logged actions of similar
states, of which the most unusual of 8 is taken, and of actions drawn from the whole range. Then the shares of
violations warned of by states, and by states or actions.
"""

import argparse
import json
from pathlib import Path

import jax
import numpy as np

from surefoot.data import library
from surefoot.data.selection import select
from surefoot.evaluation import held_out
from surefoot.protocols import ActsFeasibly
from surefoot.runs.loaded import load_run
from surefoot.tasks import get_task


def far_shares(distances: np.ndarray) -> dict[str, list[float]]:
    """By both bounds, of each kind of actions after the logged ones."""
    bounds = {"95 %": 0.95, "8 draws": held_out.USUAL}
    return {name: (distances[1:] > np.quantile(distances[0], one)).mean(1).round(3).tolist()
            for name, one in bounds.items()}  # fmt: skip


def measured(path: Path, data: Path) -> dict[str, object]:
    """Figures of one cell."""
    record = json.loads((path / "cell.json").read_text(encoding="utf-8"))
    run, task = load_run(path / "run", {}), get_task(record["task"])
    whole = library.load(data / f"{task.name}.hdf5", task)
    trained = held_out.sample_to_judge(select(whole, run.config.data_selection or {}))
    assert isinstance(run.algorithm, ActsFeasibly)
    states = jax.device_get(run.states)
    figures = held_out.judge(run.algorithm, states, trained)
    random = np.random.default_rng(0)
    rows = random.permutation(len(trained.observations))[: held_out.DECISIONS]
    known, episode = held_out.known_transitions(trained), held_out.episode_of(trained)[rows]
    rows, episode = rows[episode >= 0], episode[episode >= 0]
    here, logged = trained.observations[rows], trained.actions[rows]
    similar = known.action[held_out.similar_rows(known, here, episode)]
    # The most unusual of 8 logged actions of similar states, each compared with the 12 others.
    apart = np.linalg.norm(similar[:, :8, None] - similar[:, None, 8:], axis=-1).min(2).max(1)
    uniform = random.uniform(-1, 1, logged.shape).astype(np.float32)
    distances = held_out.action_distances(known, here, np.stack([logged, uniform]), episode)
    distances = np.concatenate([distances, apart[None]])
    chosen, _ = held_out._decisions(run.algorithm, states, here)  # pyright: ignore[reportPrivateUsage]
    policy = held_out.action_distances(known, here, np.concatenate([logged[None], chosen]), episode)
    summary = json.loads((path / "run" / "summary.json").read_text(encoding="utf-8"))["protocol"]
    return {
        "task": task.name, "fraction": record["fraction"], "cost": summary["normalised_cost_mean"],
        "policy": far_shares(policy), "uniform, most unusual of 8 logged": far_shares(distances),
        **{name: figures[name]["share"] for name in ("warned", "foreseen", "violating_feasible")},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--tasks", nargs="+", required=True)
    given = parser.parse_args()
    for path in sorted(given.store.glob("cells/*/cell.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["method"] == "fisor" and record["status"] == "done" and record["task"] in given.tasks:
            print(measured(path.parent, given.data), flush=True)


if __name__ == "__main__":
    main()
