"""PointRobotPixels: FOSP against cloning and SafeDreamer, p against the exact set, fine-tuning on moved hazards.

    python benchmarks/point_robot_pixels.py --seeds 0 1 2 --out results/point_robot_pixels

One world model a seed serves all methods. `--parts offline` leaves fine-tuning out. A part of a seed that was measured
is not measured again. The summary asks for what issue 5 asks for; what is not reached is said.
"""

import argparse
import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import jax
import jax.numpy as jnp
import numpy as np

from _machine import head
from hazard_run import finished, train
from surefoot import presets
from surefoot.checkpoint import load as load_tree
from surefoot.checkpoint import save as save_tree
from surefoot.data.frames import FrameData
from surefoot.envs.point_robot import HAZARD_RADIUS
from surefoot.envs.pure import PURE_TASKS
from surefoot.evaluation import point_robot_pixels as measured
from surefoot.evaluation.collect import collect_point_robot_pixels
from surefoot.evaluation.image_pictures import picture_arrays
from surefoot.files import write_json, write_text
from surefoot.report.image_plots import (
    MethodEpisodes,
    ProbabilitySlice,
    feasibility_strip,
    online_curves,
    open_loop,
    probability_maps,
    return_against_cost,
)
from surefoot.safety.exact import cell_centres
from surefoot.safety.region import SLICES
from surefoot.tasks import get_task
from surefoot.training import RunDirectory, make_config
from surefoot.training.finetune import FinetuneSettings, fine_tune

TASK, MOVED = "PointRobotPixels", "PointRobotPixelsMoved"
FOSP, CLONING, SAFEDREAMER = "FOSP", "cloning", "SafeDreamer, BSRP-Lag"
ARMS: dict[str, dict[str, Any]] = {
    CLONING: {"actor_mode": "awr", "weighting": "cloning", "dream_branch": False},
    FOSP: {},
}
"""Changes to FOSP's preset; SafeDreamer has its own."""
TUNED = (FOSP, SAFEDREAMER)
FEASIBLE, INFEASIBLE = 512, 128
"""Episodes of each method and seed."""
ONLINE_STEPS, LANES = 20_000, 10
DATA_SEED, TRANSITIONS = 0, 100_000
WORK = Path("runs/point_robot_pixels")
"""States of trained methods, which fine-tuning starts from, and its checkpoints."""
VIOLATION_FREE, AUROC, POINTS = 0.9, 0.95, 0.10


def cpu() -> float:
    """Seconds of processor time of this process so far, all its threads."""
    return time.process_time()


def measure_seed(seed: int, frames: FrameData, out: Path) -> dict[str, Any]:
    """Train all methods offline on one world model and measure them on both layouts; their states are kept."""
    task = get_task(TASK)
    fosp, safedreamer = presets.build("fosp", task), presets.build("safedreamer", task)
    data = jax.tree.map(jnp.asarray, fosp.prepare(frames, task))
    k_init, k_model, k_policy = jax.random.split(jax.random.key(seed), 3)
    first = jax.jit(lambda key: fosp.init(task.spec, key))(k_init)
    began, spent = time.perf_counter(), cpu()
    trained, metrics = finished(train(fosp, first, data, k_model, phase="model", updates=fosp.model_updates))
    record: dict[str, Any] = {
        "seed": seed,
        "model": {
            "parameters": sum(leaf.size for leaf in jax.tree.leaves(first.model)),
            "seconds": round(time.perf_counter() - began, 1),
            "cpu_seconds": round(cpu() - spent, 1),
            **{name: float(value) for name, value in metrics.items()},
        },
        "methods": {},
    }
    print(f"seed {seed}: world model {record['model']}", flush=True)
    exact = {name: measured.exact_set(name) for name in (TASK, MOVED)}
    starts = {
        name: measured.first_states(name, exact[name], feasible=FEASIBLE, infeasible=INFEASIBLE) for name in exact
    }
    dreamer = jax.jit(lambda key: safedreamer.init(task.spec, key))(k_init)._replace(model=trained.model)
    arms = {name: (replace(fosp, **changes), trained) for name, changes in ARMS.items()}
    arms[SAFEDREAMER] = (safedreamer, dreamer)
    for name, (algorithm, untrained) in arms.items():
        began, spent = time.perf_counter(), cpu()
        state, _ = finished(
            train(algorithm, untrained, data, k_policy, phase="policy", updates=algorithm.policy_updates)
        )
        figures: dict[str, Any] = {
            "seconds": round(time.perf_counter() - began, 1),
            "cpu_seconds": round(cpu() - spent, 1),
        }
        for where in (TASK, MOVED):
            rows, found = measured.evaluate_seed(algorithm, state, where, starts[where], seed=seed)
            write_rows(out, name, where, seed, "offline", rows)
            figures[where] = of_rows(rows)
            if name == FOSP and seed == 0 and where == TASK:
                keep_pictures(out, algorithm, state, found, exact[TASK])
        if name == FOSP:
            judged = {where: measured.held_out(where) for where in (TASK, MOVED)}
            figures["exact"] = {
                where: measured.score_against_exact(algorithm, state, judged[where], exact[where]) for where in judged
            }
        if name in TUNED:
            save_tree(WORK / "states" / f"{seed}_{slug(name)}", state, {"seed": seed})
        record["methods"][name] = figures
        print(f"  {name}: {json.dumps(figures)}", flush=True)
    return record


def tune_seed(seed: int, frames: FrameData, out: Path) -> dict[str, Any]:
    """Fine-tune what `measure_seed` kept on the moved layout, and measure it there again."""
    task, moved = get_task(TASK), get_task(MOVED)
    exact = measured.exact_set(MOVED)
    starts = measured.first_states(MOVED, exact, feasible=FEASIBLE, infeasible=INFEASIBLE)
    record: dict[str, Any] = {"seed": seed, "methods": {}}
    for name, kind in ((FOSP, "fosp"), (SAFEDREAMER, "safedreamer")):
        algorithm = presets.build(kind, task)
        shape = jax.eval_shape(lambda algorithm=algorithm: algorithm.init(task.spec, jax.random.key(0)))
        state, _ = load_tree(WORK / "states" / f"{seed}_{slug(name)}", shape, expect={"seed": seed})
        algorithm = algorithm.fine_tuning()
        state = algorithm.frozen(jax.tree.map(jnp.asarray, state))
        run = RunDirectory(WORK / "online" / f"{seed}_{slug(name)}")
        config = make_config(
            algorithm, name=kind, task=MOVED, spec=moved.spec, seeds=(seed,), data_path="collected here",
            data_fingerprint=frames.fingerprint(), log_interval=1, checkpoint_interval=5,
        )  # fmt: skip
        run.start(config, resume=True)
        began, spent = time.perf_counter(), cpu()
        rows = fine_tune(
            algorithm, jax.tree.map(lambda leaf: jnp.copy(leaf)[None], state), frames, PURE_TASKS[MOVED],
            spec=moved.spec, seeds=(seed,), settings=FinetuneSettings(ONLINE_STEPS, LANES), run=run,
            checkpoint_rounds=5,
        )  # fmt: skip
        latest = run.latest()
        assert latest is not None
        stacked = jax.eval_shape(lambda state=state: jax.tree.map(lambda leaf: leaf[None], state))
        states, _ = load_tree(latest, stacked, expect=run.read_config().identity)
        tuned = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), states)
        found, _ = measured.evaluate_seed(algorithm, tuned, MOVED, starts, seed=seed)
        write_rows(out, name, MOVED, seed, "tuned", found)
        write_text(out / f"online_{seed}_{slug(name)}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        record["methods"][name] = {
            "seconds": round(time.perf_counter() - began, 1),
            "cpu_seconds": round(cpu() - spent, 1),
            MOVED: of_rows(found),
            **{key: rows[-1][key] for key in ("environment_steps", "episodes", "violating_episodes", "total_cost")},
        }
        if hasattr(algorithm, "window_infeasibility"):
            scores = measured.score_against_exact(algorithm, tuned, measured.held_out(MOVED), exact)
            record["methods"][name]["exact"] = scores
        shutil.rmtree(run.path)  # the replay and the checkpoints; the log was copied
        print(f"seed {seed} fine-tuned, {name}: {json.dumps(record['methods'][name])}", flush=True)
    return record


def of_rows(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures of each start set."""
    sets = {}
    for start in ("feasible", "infeasible"):
        mine = [row for row in rows if row["start"] == start]
        sets[start] = {
            "violation_free_rate": float(np.mean([row["violating_steps"] == 0 for row in mine])),
            "return": float(np.mean([row["return"] for row in mine])),
            "cost": float(np.mean([row["cost"] for row in mine])),
            "goal_rate": float(np.mean([row["reached_goal"] for row in mine])),
        }
    return sets


def slug(name: str) -> str:
    """A method's name in the name of a file."""
    return name.split(",")[0].lower()


def write_rows(out: Path, name: str, task: str, seed: int, stage: str, rows: list[dict[str, Any]]) -> None:
    """The raw rows of an evaluation."""
    named = [{"method": name, "task": task, "stage": stage, **row} for row in rows]
    path = out / "episodes" / f"{seed}_{slug(name)}_{task}_{stage}.jsonl"
    write_text(path, "".join(json.dumps(row) + "\n" for row in named))


def read_rows(out: Path, pattern: str) -> list[dict[str, Any]]:
    """All rows of the files that match."""
    return [
        json.loads(line) for path in sorted((out / "episodes").glob(pattern)) for line in path.read_text().splitlines()
    ]


def keep_pictures(out: Path, algorithm: Any, state: Any, found: Any, exact: Any) -> None:
    """What the pictures need of the first seed."""
    arrays = picture_arrays(algorithm, state, measured.pictured_frames(found, TASK, most=16))
    region = measured.measure_region(algorithm, [state], TASK, exact)
    arrays |= {"learned": region.learned, "exact": region.exact, "iou": np.array(region.scores["iou"])}
    np.savez_compressed(out / "pictures.npz", allow_pickle=False, **arrays)


def draw_pictures(out: Path, frames: FrameData) -> None:
    """PNGs beside the figures."""
    arrays = dict(np.load(out / "pictures.npz", allow_pickle=False))
    axis = cell_centres(measured.RESOLUTION, measured.EXTENT)
    maps = [
        ProbabilitySlice(*SLICES[i], learned=arrays["learned"][i], exact=arrays["exact"][i], iou=arrays["iou"][i])
        for i in range(len(SLICES))
    ]
    hazards = measured.VARIANTS[TASK].layout.centres
    figures = {
        "open_loop": open_loop(arrays["truth"], arrays["predicted"], context=int(arrays["context"])),
        "feasibility": feasibility_strip(arrays["frames"], arrays["infeasibility"], arrays["costs"]),
        "maps": probability_maps(maps, axis, hazards, HAZARD_RADIUS),
    }
    groups = []
    for name in (FOSP, SAFEDREAMER, CLONING):
        rows = [row for row in read_rows(out, f"*_{slug(name)}_{TASK}_offline.jsonl") if row["start"] == "feasible"]
        columns = (np.array([row[key] for row in rows]) for key in ("return", "cost", "seed"))
        groups.append(MethodEpisodes(name, *columns))
    figures["return_cost"] = return_against_cost(groups, data=(frames.returns, frames.cost_returns))
    logs = {name: sorted(out.glob(f"online_*_{slug(name)}.jsonl")) for name in TUNED}
    if all(logs.values()):
        online = {
            name: [json.loads(line) for path in paths for line in path.read_text().splitlines()]
            for name, paths in logs.items()
        }
        figures["fine_tuning"] = online_curves(online)
    for name, figure in figures.items():
        figure.savefig(out / f"{name}.png", dpi=110)


def summarise(out: Path, frames: FrameData) -> dict[str, Any]:
    """Means over the seeds, and what issue 5 asks for."""
    offline = [json.loads(path.read_text()) for path in sorted(out.glob("seed_*.json"))]
    online = [json.loads(path.read_text()) for path in sorted(out.glob("tuned_*.json"))]

    def mean(records: list[dict[str, Any]], name: str, *path: str) -> float:
        values = []
        for record in records:
            value = record["methods"][name]
            for key in path:
                value = value[key]
            values.append(value)
        return float(np.mean(values))

    keys = ("violation_free_rate", "return", "cost", "goal_rate")
    methods: dict[str, Any] = {
        name: {where: {key: mean(offline, name, where, "feasible", key) for key in keys} for where in (TASK, MOVED)}
        for name in (*ARMS, SAFEDREAMER)
    }
    free = frames.violating_steps == 0
    best = float(frames.returns[free].mean())
    mine, clone, other = (methods[name][TASK] for name in (FOSP, CLONING, SAFEDREAMER))
    auroc = mean(offline, FOSP, "exact", TASK, "auroc")
    passes: dict[str, bool] = {
        "AUROC of p against the exact set at least 0.95": auroc >= AUROC,
        "at least 90 % violation-free from feasible starts": mine["violation_free_rate"] >= VIOLATION_FREE,
        "return at least the data's violation-free mean": mine["return"] >= best,
        "more violation-free episodes than cloning": mine["violation_free_rate"] > clone["violation_free_rate"],
        "more return than cloning": mine["return"] > clone["return"],
        "more violation-free episodes than SafeDreamer": mine["violation_free_rate"] > other["violation_free_rate"],
        "more return than SafeDreamer": mine["return"] > other["return"],
    }
    summary: dict[str, Any] = {
        **head(),
        "seeds": [record["seed"] for record in offline],
        "episodes": {"feasible": FEASIBLE, "infeasible": INFEASIBLE},
        "data": {
            "steps": len(frames),
            "episodes": len(free),
            "violation_free_rate": float(free.mean()),
            "violation_free_return": best,
        },
        "methods": methods,
        "auroc": {where: mean(offline, FOSP, "exact", where, "auroc") for where in (TASK, MOVED)},
        "auroc_outside_hazards": mean(offline, FOSP, "exact", TASK, "auroc_outside_hazards"),
        "offline_cpu_seconds": [
            record["model"]["cpu_seconds"] + record["methods"][FOSP]["cpu_seconds"] for record in offline
        ],
        "offline_seconds": [record["model"]["seconds"] + record["methods"][FOSP]["seconds"] for record in offline],
    }
    if online:
        summary["online"] = {
            name: {
                **{key: mean(online, name, MOVED, "feasible", key) for key in keys},
                **{key: mean(online, name, key) for key in ("environment_steps", "episodes", "violating_episodes")},
            }
            for name in TUNED
        }
        tuned, before = summary["online"], methods[FOSP][MOVED]["violation_free_rate"]
        passes |= {
            "fine-tuned: 10 points more violation-free than the offline policy": (
                tuned[FOSP]["violation_free_rate"] >= before + POINTS
            ),
            "fewer violations during fine-tuning than SafeDreamer": (
                tuned[FOSP]["violating_episodes"] < tuned[SAFEDREAMER]["violating_episodes"]
            ),
        }
    return {**summary, "passes": passes}


def table(summary: dict[str, Any]) -> str:
    """The methods as a table in Markdown."""
    lines = [
        "| method | no violation | return | goal | moved hazards: no violation | return |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, method in summary["methods"].items():
        seen, moved = method[TASK], method[MOVED]
        lines.append(
            f"| {name} | {seen['violation_free_rate']:.1%} | {seen['return']:.2f} | {seen['goal_rate']:.1%} | "
            f"{moved['violation_free_rate']:.1%} | {moved['return']:.2f} |"
        )
    for name, method in summary.get("online", {}).items():
        lines.append(
            f"| {name}, fine-tuned there | | | | {method['violation_free_rate']:.1%} | {method['return']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("results/point_robot_pixels"))
    parser.add_argument("--parts", choices=("all", "offline"), default="all")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    frames = collect_point_robot_pixels(transitions=TRANSITIONS, seed=DATA_SEED).frames
    for seed in options.seeds:
        for part, measure in (("seed", measure_seed), ("tuned", tune_seed)):
            path = options.out / f"{part}_{seed}.json"
            if not path.exists() and (part == "seed" or options.parts == "all"):
                write_json(path, measure(seed, frames, options.out))
    summary = summarise(options.out, frames)
    write_json(options.out / "summary.json", summary)
    write_text(options.out / "table.md", table(summary))
    if (options.out / "pictures.npz").exists():
        draw_pictures(options.out, frames)
    print(table(summary))
    print(json.dumps(summary["passes"], indent=2))


if __name__ == "__main__":
    main()
