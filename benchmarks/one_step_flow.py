"""The one-step flow policy beside FISOR: microseconds of a decision, and episodes without violation on PointRobot.

    JAX_PLATFORMS=cpu python benchmarks/one_step_flow.py FISOR_RUN DATA [--episodes 500] [--out results/one_step_flow]

FISOR_RUN is a finished run of `surefoot quickstart`, DATA its data.hdf5. Teacher and student learn on its critics, by
its weights, as in the last phase of `surefoot train --algorithm one_step_flow`: the two differ in their policies alone.
Time: one state at a time, by a session, as in a control loop, at both presets' sizes with fresh weights; the two take
turns, block after block, and seconds are those of the process. Episodes: from the feasible starts that every evaluation
of PointRobot has. Writes rows (blocks of time, figures of each seed), a summary and a table.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import _machine
from acting import SIZES, fresh_policy
from surefoot import presets
from surefoot.algorithms.one_step_flow import OneStepFlow
from surefoot.data import load
from surefoot.data.sampler import cumulative_weights, sample_batch
from surefoot.evaluation.evaluate import roll_out_seeds
from surefoot.evaluation.metrics import wilson_interval
from surefoot.evaluation.starts import draw_starts
from surefoot.hyperparameters import change
from surefoot.numerics import pinned
from surefoot.presets.one_step_flow import ONE_STEP_FLOW_PRESETS
from surefoot.report.tables import markdown_table
from surefoot.result_files import write_results
from surefoot.runs.loaded import LoadedRun, load_run
from surefoot.safety.exact import solve_point_robot
from surefoot.tasks import get_task
from surefoot.training.chunk import UPDATE_STREAM, all_weights, init_states, seed_keys

SHARE = 0.25
"""Most of FISOR's time."""
STUDENTS = {"full": OneStepFlow(), "small": change(OneStepFlow(), **ONE_STEP_FLOW_PRESETS["small"])}
METHODS = ("one_step_flow", "fisor")


def time_decisions(rounds: int, calls: int) -> list[dict[str, Any]]:
    """A row for each block of calls: microseconds of one."""
    rows = []
    for size, (fisor, spec) in SIZES.items():
        policies = {"one_step_flow": fresh_policy(STUDENTS[size], spec), "fisor": fresh_policy(fisor, spec)}
        observation = np.random.default_rng(0).standard_normal((1, spec.observation_dim), dtype=np.float32)
        sessions = {name: policy.session() for name, policy in policies.items()}
        for session in sessions.values():
            session.warm_up()
        for block in range(rounds):
            for name, session in sessions.items():
                began = time.process_time()
                for _ in range(calls):
                    session.act(observation)
                taken = 1e6 * (time.process_time() - began) / calls
                rows.append({"method": name, "size": size, "block": block, "microseconds": taken})
    return rows


def with_students(run: LoadedRun, data: Path) -> tuple[OneStepFlow, Any]:
    """The policy and its states: teacher and student of each seed, on that seed's critics."""
    task = get_task(run.config.task)
    algorithm = presets.build("one_step_flow", task)
    phase = algorithm.phases[-1]
    rows = jax.tree.map(jnp.asarray, algorithm.prepare(load(data, task), task))

    def learn(fisor: Any, fresh: Any, cumulative: Any, key: Any) -> Any:
        def update(state: Any, key: Any) -> tuple[Any, None]:
            drawn, used = jax.random.split(key)
            batch = sample_batch(rows, drawn, batch_size=phase.batch_size, cumulative=cumulative)
            return algorithm.update(state, batch, used, phase=phase.name)[0], None

        begun = fresh._replace(fisor=fisor._replace(policy=None))
        return jax.lax.scan(update, begun, jax.random.split(key, phase.updates))[0]

    fresh = init_states(algorithm, task.spec, run.config.seeds)
    weights = all_weights(run.algorithm, run.states, rows, phase=phase.name)
    assert weights is not None
    cumulative = jnp.stack([jnp.asarray(cumulative_weights(one)) for one in weights])
    keys = seed_keys(run.config.seeds, stream=UPDATE_STREAM)
    return algorithm, jax.jit(jax.vmap(learn))(run.states, fresh, cumulative, keys)


def roll_out(method: str, algorithm: Any, states: Any, poses: np.ndarray, seeds: tuple[int, ...]) -> list[Any]:
    """A row for each seed: episodes without violation, return."""
    records = roll_out_seeds(algorithm, states, poses, seeds=seeds)
    found = zip(seeds, records.cost == 0, records.episode_return, strict=True)
    return [
        {
            "method": method,
            "seed": seed,
            "episodes": len(poses),
            "violation_free": int(free.sum()),
            "return_mean": float(returns.mean()),
        }
        for seed, free, returns in found
    ]


def summarize(times: list[dict[str, Any]], episodes: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each method: median microseconds of each size, and all seeds' episodes."""
    found: dict[str, Any] = {}
    for method in METHODS:
        mine = [row for row in episodes if row["method"] == method]
        free, total = (sum(row[key] for row in mine) for key in ("violation_free", "episodes"))
        found[method] = {
            "microseconds": {
                size: float(np.median([r["microseconds"] for r in times if (r["method"], r["size"]) == (method, size)]))
                for size in SIZES
            },
            "violation_free_rate": free / total,
            "violation_free_interval": wilson_interval(free, total),
            "return_mean": float(np.mean([row["return_mean"] for row in mine])),
        }
    return found


def table(found: dict[str, Any]) -> str:
    """A row for each method, in Markdown."""
    return markdown_table(
        [
            {
                "method": method,
                **{f"microseconds, {size}": f"{one['microseconds'][size]:,.0f}" for size in SIZES},
                "episodes without violation": f"{100 * one['violation_free_rate']:.1f} %",
                "95 % interval": " to ".join(f"{100 * end:.1f}" for end in one["violation_free_interval"]),
                "return": f"{one['return_mean']:.2f}",
            }
            for method, one in found.items()
        ]
    )


@pinned()
def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fisor_run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--episodes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("results/one_step_flow"))
    options = parser.parse_args()
    head = _machine.head()
    times = time_decisions(options.rounds, options.calls)
    starts = draw_starts(solve_point_robot().value, feasible=options.episodes, infeasible=1)
    poses = starts.poses[: options.episodes]
    run = load_run(options.fisor_run, {})
    policies = {"one_step_flow": with_students(run, options.data), "fisor": (run.algorithm, run.states)}
    episodes: list[dict[str, Any]] = []
    for name, (algorithm, states) in policies.items():
        episodes += roll_out(name, algorithm, states, poses, run.config.seeds)
    found = summarize(times, episodes)
    print(table(found))
    shares = {
        size: found["one_step_flow"]["microseconds"][size] / found["fisor"]["microseconds"][size] for size in SIZES
    }
    for size, share in shares.items():
        print(size, "share of FISOR's time", _machine.verdict(share, SHARE, at_most=True))
    summary = head | {"most_of_fisor": SHARE, "share_of_fisor": shares, "methods": found}
    contents = {"rows.jsonl.gz": times + episodes, "summary.json": summary, "table.md": table(found)}
    write_results(options.out, contents)


if __name__ == "__main__":
    main()
