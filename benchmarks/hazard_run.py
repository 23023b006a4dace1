"""HazardRun, the small check of FOSP: is it safe, does it pay, which actor, which form of reachability?

    python benchmarks/hazard_run.py --seeds 0 1 2 --methods fosp   # the pass line; at most 8 minutes on two idle cores
    python benchmarks/hazard_run.py --seeds 0 1 2                  # SafeDreamer, too, whose planners search on

One world model a seed serves all methods: behaviour cloning, rewards alone, FOSP with its two actors and its two forms
of reachability, SafeDreamer in its three forms. A method that was measured (runs/hazard_run) is not measured again. A
process a seed, as many at a time as there are cores. Writes results/hazard_run.
"""

import argparse
import json
import multiprocessing
import os
import time
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import jax
import jax.numpy as jnp
import numpy as np

from _machine import cores, head, write_public
from surefoot import presets
from surefoot.data.frames import FrameWindows
from surefoot.envs.pure import PURE_TASKS
from surefoot.evaluation.collect import collect_hazard_run
from surefoot.evaluation.images import WITHIN, drawn_states, evaluate_from, score_infeasibility
from surefoot.hyperparameters import change
from surefoot.protocols import HasInfeasibility
from surefoot.result_files import write_results
from surefoot.rollouts import scan
from surefoot.tasks import get_task

EPISODES, PLANNED_EPISODES = 256, 64
"""Of an evaluation; fewer where a search goes before every step."""
SETTLING = (5, 16)
"""Rounds of episodes that move the multiplier of OSRP-Lag before it is measured; offline it has none."""
DATA_SEED, HELD_OUT_SEED = 0, 1
TRANSITIONS, HELD_OUT = 18_000, 4_500
WORK = Path("runs/hazard_run")
"""Records of the seeds so far, and of the commands that measured them."""

# Which actor the preset takes was chosen by this measurement; both are measured.
FOSP_ARMS: dict[str, dict[str, Any]] = {
    "cloning": {"actor_mode": "awr", "weighting": "cloning", "imagined_branch": False},
    "reward only": {"actor_mode": "awr", "weighting": "reward", "imagined_branch": False},
    "FOSP, backprop": {"actor_mode": "backprop"},
    "FOSP, awr": {"actor_mode": "awr", "imagined_branch": False},
    "FOSP, awr, hj": {"actor_mode": "awr", "imagined_branch": False, "reachability": "hj", "reach_expectile": 0.7},
}
SAFEDREAMER_ARMS: dict[str, dict[str, Any]] = {
    "SafeDreamer, BSRP-Lag": {},
    "SafeDreamer, OSRP": {"form": "osrp"},
    "SafeDreamer, OSRP-Lag": {"form": "osrp-lag"},
}

METHODS = {"fosp": [*FOSP_ARMS], "safedreamer": [*SAFEDREAMER_ARMS], "all": [*FOSP_ARMS, *SAFEDREAMER_ARMS]}


@partial(jax.jit, static_argnames=("algorithm", "phase", "updates"))
def train(algorithm: Any, state: Any, data: FrameWindows, key: Any, *, phase: str, updates: int) -> tuple[Any, Any]:
    """`updates` updates of a phase; also the means of the metrics over the last tenth."""

    def one(state: Any, step_key: Any) -> tuple[Any, Any]:
        k_rows, k_update = jax.random.split(step_key)
        rows = jax.random.randint(k_rows, (algorithm.training.batch_size,), 0, data.num_rows)
        return algorithm.update(state, data.take(rows), k_update, phase=phase)

    state, metrics = jax.lax.scan(one, state, jax.random.split(key, updates))
    return state, jax.tree.map(lambda values: values[-updates // 10 :].mean(), metrics)


def finished(tree: Any) -> Any:
    """The same, once it was computed."""
    return jax.block_until_ready(tree)


def measure_seed(seed: int, path: Path, methods: tuple[str, ...]) -> float:
    """Train those of the methods that the record at `path` lacks with one world model, measure them, and write the
    record after each. Returns the seconds of all of it, 0 where nothing was lacking."""
    record = read_record(seed, path)
    if set(methods) <= record["methods"].keys():
        return 0.0
    started = time.perf_counter()
    task = get_task("HazardRun")
    fosp = presets.build("fosp", task)
    safedreamer = presets.build("safedreamer", task)
    data = jax.tree.map(jnp.asarray, fosp.prepare(collect_hazard_run(transitions=TRANSITIONS, seed=DATA_SEED), task))
    held_out = collect_hazard_run(transitions=HELD_OUT, seed=HELD_OUT_SEED)
    k_init, k_model, k_policy = jax.random.split(jax.random.key(seed), 3)
    first = jax.jit(lambda key: fosp.init(task.spec, key))(k_init)
    began = time.perf_counter()
    trained, metrics = finished(train(fosp, first, data, k_model, phase="model", updates=fosp.model_updates))
    seconds = round(time.perf_counter() - began, 1)
    model = {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(first.model)),
        "seconds": seconds,
        **{name: float(value) for name, value in metrics.items()},
    }
    record["model"] = model
    print(f"seed {seed}: world model in {seconds} s", flush=True)
    arms = {name: (change(fosp, **changes), trained) for name, changes in FOSP_ARMS.items()}
    dreamer = jax.jit(lambda key: safedreamer.init(task.spec, key))(k_init)._replace(model=trained.model)
    arms |= {name: (change(safedreamer, **changes), dreamer) for name, changes in SAFEDREAMER_ARMS.items()}
    for name, (algorithm, state) in arms.items():
        if name not in methods or name in record["methods"]:
            continue
        record["methods"][name] = figures = measure_arm(algorithm, state, data, held_out, k_policy, seed)
        print(f"seed {seed}, {name}: {figures}", flush=True)
        write_public(path, record)
    return time.perf_counter() - started


def read_record(seed: int, path: Path) -> dict[str, Any]:
    """What was measured of a seed so far."""
    return json.loads(path.read_text()) if path.exists() else {"seed": seed, "methods": {}}


def play(algorithm: Any, state: Any, key: Any) -> tuple[Any, Any]:
    """A round of episodes in HazardRun, and the state that has seen what they cost; also their costs."""
    k_start, k_act = jax.random.split(key)
    task, count = PURE_TASKS["HazardRun"], SETTLING[1]
    first = scan.first_states(task, jax.random.split(k_start, count))
    sums = scan.roll_out(
        algorithm, state, task, first, keys=jax.random.split(k_act, count), num_envs=count, chunk=task.horizon
    ).sums
    return algorithm.after_episodes(state, sums.cost, jnp.float32(sums.length)), sums.cost


def measure_arm(algorithm: Any, state: Any, data: FrameWindows, held_out: Any, key: Any, seed: int) -> dict[str, Any]:
    """Train critics and actor on the world model in `state`; returns and costs, p against violations to come."""
    began, busy = time.perf_counter(), time.process_time()
    state, _ = finished(train(algorithm, state, data, key, phase="policy", updates=algorithm.training.policy_updates))
    figures: dict[str, Any] = {
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(time.process_time() - busy, 1),
    }
    form = getattr(algorithm, "form", "bsrp-lag")
    if form == "osrp-lag":
        costs = []
        for number in range(SETTLING[0]):
            state, cost = play(algorithm, state, jax.random.fold_in(key, number))
            costs.append(float(cost.mean()))
        figures["settling"] = {"episode_costs": costs, "multiplier": float(state.pid.multiplier)}
    episodes = EPISODES if form == "bsrp-lag" else PLANNED_EPISODES
    for task in ("HazardRun", "HazardRunShifted"):
        began, busy = time.perf_counter(), time.process_time()
        rows, _ = evaluate_from(algorithm, state, task, drawn_states(task, episodes=episodes), seed=seed)
        figures[task] = {
            "episodes": episodes,
            "seconds": round(time.perf_counter() - began, 1),
            "cpu_seconds": round(time.process_time() - busy, 1),
            "return": float(np.mean([row["return"] for row in rows])),
            "cost": float(np.mean([row["cost"] for row in rows])),
            "violation_free_rate": float(np.mean([row["violating_steps"] == 0 for row in rows])),
        }
    if isinstance(algorithm, HasInfeasibility):
        figures["auroc"] = score_infeasibility(algorithm, state, held_out)
    return figures


def summarise(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds, and the pass line that was set beforehand for each form of FOSP."""
    names = [name for name in METHODS["all"] if all(name in record["methods"] for record in records)]

    def mean(name: str, *path: str) -> float:
        values = []
        for record in records:
            value = record["methods"][name]
            for key in path:
                value = value[key]
            values.append(value)
        return float(np.mean(values))

    methods = {
        name: {
            task: {key: mean(name, task, key) for key in ("return", "cost", "violation_free_rate")}
            for task in ("HazardRun", "HazardRunShifted")
        }
        for name in names
    }
    cloning, greedy = methods["cloning"]["HazardRun"], methods["reward only"]["HazardRun"]
    passes = {}
    for name in names:
        if not name.startswith("FOSP"):
            continue
        found, auroc = methods[name]["HazardRun"], mean(name, "auroc", "all")
        methods[name]["auroc"] = {"all": auroc, "not_violating_yet": mean(name, "auroc", "not_violating_yet")}
        passes[name] = {
            "return at least 1.5 x cloning": found["return"] >= 1.5 * cloning["return"],
            "cost at most 0.6": found["cost"] <= 0.6,
            "cost at most a quarter of reward only": found["cost"] <= 0.25 * greedy["cost"],
            "AUROC of p at least 0.9": auroc >= 0.9,
        }
    seconds = [
        record["model"]["seconds"] + sum(record["methods"][name]["seconds"] for name in names) for record in records
    ]
    return {
        "seeds": [record["seed"] for record in records],
        "episodes": EPISODES,
        "violation_within_steps": WITHIN,
        "methods": methods,
        "passes": passes,
        "training_seconds": seconds,
    }


def table(summary: dict[str, Any]) -> str:
    """The methods as a table in Markdown."""
    lines = [
        "| method | return | cost | no violation | p AUROC (not violating yet) | shifted: return | shifted: cost |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, method in summary["methods"].items():
        seen, shifted = method["HazardRun"], method["HazardRunShifted"]
        auroc = method.get("auroc")
        scores = f"{auroc['all']:.3f} ({auroc['not_violating_yet']:.3f})" if auroc else ""
        lines.append(
            f"| {name} | {seen['return']:.2f} | {seen['cost']:.2f} | {seen['violation_free_rate']:.1%} | {scores} | "
            f"{shifted['return']:.2f} | {shifted['cost']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", choices=METHODS, default="all")
    parser.add_argument("--processes", type=int, default=cores(), help="seeds at a time")
    parser.add_argument("--out", type=Path, default=Path("results/hazard_run"))
    options = parser.parse_args()
    began = time.perf_counter()
    machine = head()
    methods = tuple(METHODS[options.methods])
    jobs = [(seed, WORK / f"seed_{seed}.json", methods) for seed in options.seeds]
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        spent = pool.starmap(measure_seed, jobs, chunksize=1)
    records = [json.loads(path.read_text()) for path in sorted(WORK.glob("seed_*.json"))]
    commands = WORK / "commands.json"
    log = json.loads(commands.read_text()) if commands.exists() else []
    if any(spent):
        seconds = round(time.perf_counter() - began, 1)
        log.append({**machine, "seconds": seconds, "seconds_of_seeds": spent, "methods": methods})
        write_public(commands, log)
    summary = {**summarise(records), "commands": log}
    write_results(options.out, {"summary.json": summary, "table.md": table(summary), "seeds.jsonl.gz": records})
    print(table(summary))
    print(json.dumps(summary["passes"], indent=2))


if __name__ == "__main__":
    main()
