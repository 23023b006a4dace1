"""HazardRun, the small check of FOSP: is it safe, does it pay, which actor, which form of reachability?

    python benchmarks/hazard_run.py --seeds 0 1 2 --out results/hazard_run

One world model a seed serves all methods: behaviour cloning, rewards alone, FOSP with its two actors and its two forms
of reachability, SafeDreamer. A seed that was measured is not measured again. At most 8 minutes on two idle cores.
"""

import argparse
import json
import os
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import jax
import jax.numpy as jnp
import numpy as np

from _machine import head
from surefoot import presets
from surefoot.data.frames import FrameWindows
from surefoot.envs.pure import PURE_TASKS
from surefoot.evaluation.collect import collect_hazard_run
from surefoot.evaluation.images import WITHIN, evaluate_seed, score_infeasibility
from surefoot.files import write_json, write_text
from surefoot.tasks import get_task

EPISODES = 256
DATA_SEED, HELD_OUT_SEED = 0, 1
TRANSITIONS, HELD_OUT = 18_000, 4_500

# Which actor the preset takes was chosen by this measurement; both are measured.
FOSP_ARMS: dict[str, dict[str, Any]] = {
    "cloning": {"actor_mode": "awr", "weighting": "cloning", "dream_branch": False},
    "reward only": {"actor_mode": "awr", "weighting": "reward", "dream_branch": False},
    "FOSP, backprop": {"actor_mode": "backprop"},
    "FOSP, awr": {"actor_mode": "awr", "dream_branch": False},
    "FOSP, awr, hj": {"actor_mode": "awr", "dream_branch": False, "reachability": "hj", "reach_expectile": 0.7},
}


@partial(jax.jit, static_argnames=("algorithm", "phase", "updates"))
def train(algorithm: Any, state: Any, data: FrameWindows, key: Any, *, phase: str, updates: int) -> tuple[Any, Any]:
    """`updates` updates of a phase; also the means of the metrics over the last tenth."""

    def one(state: Any, step_key: Any) -> tuple[Any, Any]:
        k_rows, k_update = jax.random.split(step_key)
        rows = jax.random.randint(k_rows, (algorithm.batch_size,), 0, data.starts.shape[0])
        return algorithm.update(state, algorithm.batch(data, rows), k_update, phase=phase)

    state, metrics = jax.lax.scan(one, state, jax.random.split(key, updates))
    return state, jax.tree.map(lambda values: values[-updates // 10 :].mean(), metrics)


def finished(tree: Any) -> Any:
    """The same, once it was computed."""
    return jax.block_until_ready(tree)


def measure_seed(seed: int) -> dict[str, Any]:
    """Train all methods with one world model and measure them."""
    task = get_task("HazardRun")
    fosp = presets.build("fosp", task)
    safedreamer = presets.build("safedreamer", task)
    data = jax.tree.map(jnp.asarray, fosp.prepare(collect_hazard_run(transitions=TRANSITIONS, seed=DATA_SEED), task))
    held_out = collect_hazard_run(transitions=HELD_OUT, seed=HELD_OUT_SEED)
    k_init, k_model, k_policy = jax.random.split(jax.random.key(seed), 3)
    first = jax.jit(lambda key: fosp.init(task.spec, key))(k_init)
    began = time.perf_counter()
    trained, metrics = finished(train(fosp, first, data, k_model, phase="model", updates=fosp.model_updates))
    record: dict[str, Any] = {
        "seed": seed,
        "model": {
            "parameters": sum(leaf.size for leaf in jax.tree.leaves(first.model)),
            "seconds": round(time.perf_counter() - began, 1),
            **{name: float(value) for name, value in metrics.items()},
        },
        "methods": {},
    }
    print(f"seed {seed}: world model in {record['model']['seconds']} s", flush=True)
    arms = {name: (replace(fosp, **changes), trained) for name, changes in FOSP_ARMS.items()}
    dreamer = jax.jit(lambda key: safedreamer.init(task.spec, key))(k_init)._replace(model=trained.model)
    arms["SafeDreamer, BSRP-Lag"] = (safedreamer, dreamer)
    for name, (algorithm, state) in arms.items():
        record["methods"][name] = figures = measure_arm(algorithm, state, data, held_out, k_policy, seed)
        print(f"  {name}: {figures}", flush=True)
    return record


def measure_arm(algorithm: Any, state: Any, data: FrameWindows, held_out: Any, key: Any, seed: int) -> dict[str, Any]:
    """Train critics and actor on the world model in `state`; returns and costs, p against violations to come."""
    began = time.perf_counter()
    state, _ = finished(train(algorithm, state, data, key, phase="policy", updates=algorithm.policy_updates))
    figures: dict[str, Any] = {"seconds": round(time.perf_counter() - began, 1)}
    for task in ("HazardRun", "HazardRunShifted"):
        rows, _ = evaluate_seed(algorithm, state, PURE_TASKS[task], task, episodes=EPISODES, seed=seed)
        figures[task] = {
            "return": float(np.mean([row["return"] for row in rows])),
            "cost": float(np.mean([row["cost"] for row in rows])),
            "violation_free_rate": float(np.mean([row["violating_steps"] == 0 for row in rows])),
        }
    if hasattr(algorithm, "window_infeasibility"):
        figures["auroc"] = score_infeasibility(algorithm, state, held_out)
    return figures


def summarise(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds, and the pass line of our specification for each form of FOSP."""
    names = list(records[0]["methods"])

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
        record["model"]["seconds"] + sum(method["seconds"] for method in record["methods"].values())
        for record in records
    ]
    return {
        **head(),
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("results/hazard_run"))
    options = parser.parse_args()
    for seed in options.seeds:
        path = options.out / f"seed_{seed}.json"
        if not path.exists():
            write_json(path, measure_seed(seed))
    records = [json.loads(path.read_text()) for path in sorted(options.out.glob("seed_*.json"))]
    summary = summarise(records)
    write_json(options.out / "summary.json", summary)
    write_text(options.out / "table.md", table(summary))
    print(table(summary))
    print(json.dumps(summary["passes"], indent=2))


if __name__ == "__main__":
    main()
