"""Fitted-Q evaluation against simulated truth on a simulator's task: trained policies, some of them shaken.

    JAX_PLATFORMS=cpu python benchmarks/fqe_simulator.py RUN... --data FILE [--noises 0 0.5] [--margins 0.5]

Each RUN is of one task and acts on vectors without a budget, as FISOR's and behaviour cloning's. A policy is a seed of
a run whose actions have noise of a standard deviation added; runs of FISOR stand there with each of the quantiles of
margins, too. Their return and cost over an episode are estimated from a random part of the log and simulated. Figures
as in fqe.py; writes results/fqe/TASK.json, a table, rows for each policy and a figure.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import _machine
from fqe import RESULTS, figures_of, scatter, table
from surefoot.algorithms.fisor import FISOR
from surefoot.audit.actions import policy_actions
from surefoot.audit.fqe import LoggedSteps, fitted_q
from surefoot.data import Dataset, load
from surefoot.envs.workers.vector import VectorSimulator
from surefoot.evaluation.simulated import roll_out_simulator
from surefoot.hyperparameters import change
from surefoot.numerics import pinned
from surefoot.protocols import Inputs
from surefoot.report.style import png_of
from surefoot.result_files import write_results
from surefoot.runs.loaded import load_run
from surefoot.tasks import get_task
from surefoot.types import Policy, PolicyInputs

QUANTITIES = ("return", "cost")
SIDE_BY_SIDE = 5
"""Episodes of a policy that are simulated at once."""


@dataclass(frozen=True)
class Shaken:
    """A policy with noise on its actions; its state is (the algorithm's state, the noise's standard deviation)."""

    algorithm: Any

    @property
    def inputs(self) -> Inputs:
        """As the algorithm's."""
        return self.algorithm.inputs

    def policy(self, state: Any) -> Policy:
        """Acts, then moves the action."""
        inner, noise = self.algorithm.policy(state[0]), state[1]

        def act(carry: Any, inputs: PolicyInputs, key: Any) -> tuple[Any, Any]:
            carry, action = inner.act(carry, inputs, key)
            moved = action + noise * jax.random.normal(jax.random.fold_in(key, 1), action.shape)
            return carry, jnp.clip(moved, -1.0, 1.0)

        return Policy(inner.initial, act)


def some_episodes(data: Dataset, rows: int) -> Dataset:
    """Whole episodes, drawn, of about so many rows together."""
    starts, ends = data.episode_starts, data.episode_ends
    order = np.random.default_rng(0).permutation(len(ends))
    chosen = np.sort(order[: max(1, int(np.searchsorted(np.cumsum(data.lengths[order]), rows)))])
    return data.take(np.concatenate([np.arange(int(starts[one]), int(ends[one])) for one in chosen]))


def shaken(paths: list[Path], noises: list[float], margins: list[float]) -> list[tuple[str, Shaken, Any]]:
    """(name, algorithm, states with a leading axis) of each group of policies."""
    found = []
    for path in paths:
        run = load_run(path, {})
        algorithms = {run.config.algorithm: run.algorithm}
        if isinstance(run.algorithm, FISOR):
            algorithms |= {f"fisor, margins of {one:g}": with_margin(run.algorithm, one) for one in margins}
        count = len(run.config.seeds)
        states = jax.tree.map(lambda leaf: jnp.concatenate([leaf] * len(noises)), run.states)
        spread = jnp.repeat(jnp.asarray(noises, jnp.float32), count)
        mode = run.config.data_selection.get("filter", "")
        found += [(f"{name} {mode}".strip(), Shaken(one), (states, spread)) for name, one in algorithms.items()]
    return found


def with_margin(algorithm: FISOR, quantile: float) -> FISOR:
    """With another quantile of margins."""
    return change(algorithm, scaling=change(algorithm.scaling, margin_quantile=quantile))


def estimate(actions: np.ndarray, data: Dataset, horizon: int, resamples: int) -> tuple[np.ndarray, np.ndarray]:
    """Return and cost of a policy that does `actions` in the states entered and the first ones, and resamples."""
    starts = np.asarray(data.episode_starts)
    steps = LoggedSteps(
        data.observations, data.actions, data.next_observations, actions[: len(data)], data.terminated,
        np.stack([data.required_rewards, data.costs], 1), starts, actions[len(data) :],
    )  # fmt: skip
    found = fitted_q(steps, horizon=horizon, resamples=resamples)
    return found.mean, found.resampled


@pinned()
def main() -> None:
    """Simulate, estimate, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--noises", type=float, nargs="+", default=[0.0, 0.5])
    parser.add_argument("--margins", type=float, nargs="+", default=[0.5])
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--resamples", type=int, default=8)
    options = parser.parse_args()
    task = get_task(load_run(options.runs[0], {}).config.task)
    data = some_episodes(load(options.data, task), options.rows)
    asked = np.concatenate([data.next_observations, data.observations[np.asarray(data.episode_starts)]])
    rows: list[dict[str, Any]] = []
    means, resampled = [], []
    for name, algorithm, states in shaken(options.runs, options.noises, options.margins):
        seeds = range(len(states[1]))
        with VectorSimulator(task, num_envs=SIDE_BY_SIDE * len(seeds), workers=0) as env:
            episodes = roll_out_simulator(algorithm, states, env, seeds=seeds, episodes=options.episodes).episodes
        for seed, actions in enumerate(policy_actions(algorithm, states, asked)):  # pyright: ignore[reportArgumentType]
            mine = [(one.episode_return, one.cost) for one in episodes if one.seed == seed]
            mean, spread = estimate(actions, data, task.horizon, options.resamples)
            true, said = np.mean(mine, 0).tolist(), mean.tolist()
            rows.append({"policy": name, "number": seed, "noise": float(states[1][seed]), "return": true[0],
                         "cost": true[1], "estimated_return": said[0], "estimated_cost": said[1]})  # fmt: skip
            means.append(mean)
            resampled.append(spread)
            print(rows[-1], flush=True)
    truth = np.array([[row[one] for one in QUANTITIES] for row in rows])
    figures = figures_of(np.stack(means), np.stack(resampled), truth, len(data), QUANTITIES)
    print(table(figures))
    summary = _machine.head() | {"task": task.name, "episodes": options.episodes, "rows": figures}
    contents = {f"{task.name}.json": summary, f"{task.name}.md": table(figures), f"{task.name}.jsonl.gz": rows}
    picture = png_of(scatter({len(data): np.stack(means)}, truth, QUANTITIES), dpi=130)
    write_results(RESULTS, contents | {f"{task.name}.png": picture})


if __name__ == "__main__":
    main()
