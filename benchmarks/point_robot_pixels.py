"""PointRobotPixels: FOSP against cloning and SafeDreamer, p against the exact set, fine-tuning on moved hazards.

    python benchmarks/point_robot_pixels.py --seeds 0 1 2 --out results/point_robot_pixels

One world model a seed serves all methods. `--parts offline` leaves fine-tuning out. A part of a seed that was measured
(runs/point_robot_pixels) is not measured again. Which targets are not reached is said.
"""

import argparse
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import jax
import jax.numpy as jnp

from _machine import write_public
from _pixel_results import (
    FOSP,
    METHODS,
    MOVED,
    TASK,
    TRAINED_AS,
    TUNED,
    draw_pictures,
    keep_pictures,
    of_rows,
    published,
    slug,
    summarise,
    write_rows,
)
from hazard_run import finished, train
from surefoot import presets
from surefoot.checkpoint import load as load_tree
from surefoot.checkpoint import save as save_tree
from surefoot.data.frames import FrameData
from surefoot.envs.pure import PURE_TASKS
from surefoot.evaluation import point_robot_pixels as measured
from surefoot.evaluation.collect import collect_point_robot_pixels
from surefoot.evaluation.images import evaluate_from
from surefoot.files import write_text
from surefoot.nn import member
from surefoot.protocols import HasInfeasibility
from surefoot.result_files import write_results
from surefoot.tasks import get_task
from surefoot.training import RunDirectory, make_config
from surefoot.training.finetune import FinetuneSettings, fine_tune

FEASIBLE, INFEASIBLE = 512, 128
"""Episodes of each method and seed."""
ONLINE = FinetuneSettings(steps=20_000, num_envs=10, ratio=0.1, online_share=0.5)
DATA_SEED, TRANSITIONS = 0, 100_000
WORK = Path("runs/point_robot_pixels")
"""States of trained methods, which fine-tuning starts from, its checkpoints, and what was measured so far."""
Measure = Callable[[str, int, FrameData, Path], dict[str, Any]]
"""(method, seed, data, folder of the results) -> figures."""


def cpu() -> float:
    """Seconds of processor time of this process so far, all its threads."""
    return time.process_time()


def world_model(seed: int, data: Any) -> tuple[Any, dict[str, Any]]:
    """(FOSP's state after the model's phase, its figures), trained unless it was."""
    task = get_task(TASK)
    fosp = presets.build("fosp", task)
    k_init, k_model, _ = jax.random.split(jax.random.key(seed), 3)
    path = WORK / "states" / f"{seed}_model"
    if path.exists():
        shape = jax.eval_shape(lambda key: fosp.init(task.spec, key), k_init)
        state, known = load_tree(path, shape, expect={"seed": seed})
        return jax.tree.map(jnp.asarray, state), known["model"]
    first = jax.jit(lambda key: fosp.init(task.spec, key))(k_init)
    began, spent = time.perf_counter(), cpu()
    trained, metrics = finished(train(fosp, first, data, k_model, phase="model", updates=fosp.model_updates))
    record = {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(first.model)),
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(cpu() - spent, 1),
        **{name: float(value) for name, value in metrics.items()},
    }
    save_tree(path, trained, {"seed": seed, "model": record})
    print(f"seed {seed}: world model {record}", flush=True)
    return trained, record


def trained_policy(name: str, seed: int, data: Any) -> tuple[Any, Any, dict[str, Any]]:
    """(algorithm, its state, how long training took): critics and actor on the seed's world model."""
    task = get_task(TASK)
    kind, changes = METHODS[name]
    algorithm = replace(presets.build(kind, task), **changes)
    model, record = world_model(seed, data)
    k_init, _, k_policy = jax.random.split(jax.random.key(seed), 3)
    path = WORK / "states" / f"{seed}_{slug(TRAINED_AS.get(name, name))}"
    if path.exists():
        shape = jax.eval_shape(lambda key: algorithm.init(task.spec, key), k_init)
        state, known = load_tree(path, shape, expect={"seed": seed})
        return algorithm, jax.tree.map(jnp.asarray, state), known["trained"]
    untrained = model
    if kind == "safedreamer":
        untrained = jax.jit(lambda key: algorithm.init(task.spec, key))(k_init)._replace(model=model.model)
    began, spent = time.perf_counter(), cpu()
    state, _ = finished(
        train(algorithm, untrained, data, k_policy, phase="policy", updates=algorithm.training.policy_updates)
    )
    times = {"seconds": round(time.perf_counter() - began, 1), "cpu_seconds": round(cpu() - spent, 1), "model": record}
    save_tree(path, state, {"seed": seed, "trained": times})
    return algorithm, state, times


def measure_method(name: str, seed: int, frames: FrameData, out: Path) -> dict[str, Any]:
    """Train a method offline on the seed's world model and measure it on both layouts; its state is kept."""
    data = jax.tree.map(jnp.asarray, presets.build("fosp", get_task(TASK)).prepare(frames, get_task(TASK)))
    algorithm, state, times = trained_policy(name, seed, data)
    figures: dict[str, Any] = {"method": name, "seed": seed, **times}
    for where in (TASK, MOVED):
        exact = measured.exact_set(where)
        starts = measured.first_states(where, exact, feasible=FEASIBLE, infeasible=INFEASIBLE)
        rows, found = evaluate_from(algorithm, state, where, starts, seed=seed)
        write_rows(out, name, where, seed, "offline", rows)
        figures[where] = of_rows(rows)
        if name == FOSP:
            scores = measured.score_against_exact(algorithm, state, measured.held_out(where), exact)
            figures[where]["exact"] = scores
            if seed == 0 and where == TASK:
                keep_pictures(out, algorithm, state, found, exact)
    print(f"seed {seed}, {name}: {json.dumps(figures)}", flush=True)
    return figures


def tune_method(name: str, seed: int, frames: FrameData, out: Path) -> dict[str, Any]:
    """Fine-tune what `measure_method` kept on the moved layout, and measure it there again."""
    task, moved = get_task(TASK), get_task(MOVED)
    kind, _ = METHODS[name]
    algorithm = presets.build(kind, task)
    shape = jax.eval_shape(lambda key: algorithm.init(task.spec, key), jax.random.key(0))
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
        spec=moved.spec, seeds=(seed,), settings=ONLINE, run=run,
        checkpoint_rounds=5,
    )  # fmt: skip
    latest = run.latest()
    assert latest is not None
    stacked = jax.eval_shape(lambda: jax.tree.map(lambda leaf: leaf[None], state))
    states, _ = load_tree(latest, stacked, expect=run.read_config().identity)
    tuned = jax.tree.map(jnp.asarray, member(states, 0))
    exact = measured.exact_set(MOVED)
    starts = measured.first_states(MOVED, exact, feasible=FEASIBLE, infeasible=INFEASIBLE)
    found, _ = evaluate_from(algorithm, tuned, MOVED, starts, seed=seed)
    write_rows(out, name, MOVED, seed, "tuned", found)
    write_text(out / f"online_{seed}_{slug(name)}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    record = {
        "method": name,
        "seed": seed,
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(cpu() - spent, 1),
        MOVED: of_rows(found),
        **{key: rows[-1][key] for key in ("environment_steps", "episodes", "violating_episodes", "total_cost")},
    }
    if isinstance(algorithm, HasInfeasibility):
        record[MOVED]["exact"] = measured.score_against_exact(algorithm, tuned, measured.held_out(MOVED), exact)
    shutil.rmtree(run.path)  # the replay and the checkpoints; the log was copied
    print(f"seed {seed} fine-tuned, {name}: {json.dumps(record)}", flush=True)
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("results/point_robot_pixels"))
    parser.add_argument("--parts", choices=("all", "offline"), default="all")
    options = parser.parse_args()
    work = WORK / "measured"
    work.mkdir(parents=True, exist_ok=True)
    frames = collect_point_robot_pixels(transitions=TRANSITIONS, seed=DATA_SEED).frames
    wanted: list[tuple[str, Measure, Iterable[str]]] = [("offline", measure_method, METHODS)]
    if options.parts == "all":
        wanted.append(("tuned", tune_method, TUNED))
    for seed in options.seeds:
        for part, measure, names in wanted:
            for name in names:
                path = work / f"{part}_{seed}_{slug(name)}.json"
                if not path.exists():
                    write_public(path, measure(name, seed, frames, work))
    summary = {**summarise(work, frames), "episodes": {"feasible": FEASIBLE, "infeasible": INFEASIBLE}}
    pictures = draw_pictures(work, frames) if (work / "pictures.npz").exists() else {}
    contents = published(work, summary, pictures)
    write_results(options.out, contents)
    print(contents["table.md"])
    print(json.dumps(summary["passes"], indent=2))


if __name__ == "__main__":
    main()
