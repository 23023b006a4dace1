"""The decoupled schedule against the joint one: the same data, networks and value hyper-parameters.

    JAX_PLATFORMS=cpu python benchmarks/schedules.py --schedule decoupled --seeds 0 1     # about 3 minutes, two cores
    JAX_PLATFORMS=cpu python benchmarks/schedules.py --schedule joint --seeds 0 1         # about 6 minutes, two cores

Networks and hyper-parameters are those of the preset `small`. Joint training is in the paper's proportion: every update
makes two policy steps on 512 transitions each and one step of every value on 256; 15,000 of them give the values as
many steps as the decoupled schedule gives the constraint's. It keeps learning rate and discount of the values constant,
because its weights read them from the first update on: --learning-rate and --discount try others for it.

Measured: CPU seconds of training (`time.process_time`, compilation apart), the feasible region on the three published
slices against the exact one, and the policy from 400 starts of exact value <= -0.05 m. Each run replaces its own rows
in benchmarks/results/schedules.json, so that it can be made in pieces; what stands there is compared at the end.
"""

import argparse
import json
import math
import os
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import _machine
from surefoot.algorithms.fisor import FISOR
from surefoot.envs.point_robot import observe
from surefoot.evaluation.collect import collect_point_robot
from surefoot.evaluation.evaluate import roll_out_seeds
from surefoot.evaluation.starts import draw_starts
from surefoot.hyperparameters import change
from surefoot.nn import member
from surefoot.presets.fisor import FISOR_PRESETS
from surefoot.safety.exact import ExactSet, slice_poses, solve_point_robot
from surefoot.safety.region import SLICES, score_seeds
from surefoot.tasks import get_task
from surefoot.training.chunk import (
    UPDATE_STREAM,
    init_states,
    phase_cumulative,
    replicate,
    run_chunk,
    seed_keys,
    seed_mesh,
)
from surefoot.types import Transition

CPU_SHARE = 1 / 3
"""Decoupled training must take at most this share of joint training's CPU time."""


def decoupled(updates: int) -> FISOR:
    """The preset `small`, its phases shortened in proportion where `updates` is not its own number."""
    preset = change(FISOR(), **FISOR_PRESETS["small"])
    share = updates / preset.training.constraint_updates
    policy_updates = round(preset.training.policy_updates * share)
    return change(
        preset,
        constraint_updates=updates,
        reward_updates=round(preset.training.reward_updates * share),
        policy_updates=policy_updates,
        diffusion=change(preset.diffusion, decay_steps=policy_updates),
    )


def joint(updates: int, *, learning_rate: float | None = None, discount: float | None = None) -> FISOR:
    """The same in the paper's joint schedule; the policy's learning rate falls over its own number of steps."""
    preset = change(FISOR(), **FISOR_PRESETS["small"])
    return change(
        preset,
        schedule="joint",
        joint_updates=updates,
        policy_batch_size=512,
        policy_steps=2,
        value_learning_rate=preset.values.value_learning_rate if learning_rate is None else learning_rate,
        constraint_discount=preset.constraint_discount if discount is None else discount,
        diffusion=change(preset.diffusion, decay_steps=2 * updates),
    )


def train(algorithm: FISOR, data: Transition, seeds: Sequence[int], *, chunk: int = 500) -> tuple[Any, dict[str, Any]]:
    """The states of all seeds, and what training took; computing the policy phase's weights counts as training."""
    mesh = seed_mesh(seeds)
    states = replicate(init_states(algorithm, get_task("PointRobot").spec, seeds), mesh)
    placed, keys = replicate(data, mesh), seed_keys(seeds, stream=UPDATE_STREAM)
    cost: dict[str, Any] = {"cpu_seconds": {}, "wall_seconds": {}, "compile_cpu_seconds": 0.0}
    for index, phase in enumerate(algorithm.phases):
        length = math.gcd(chunk, phase.updates)
        phase_cumulative(algorithm, states, data=placed, phase=phase, seeds=seeds)  # compiles
        weighing = time.process_time()
        weights = phase_cumulative(algorithm, states, data=placed, phase=phase, seeds=seeds)
        weighing = time.process_time() - weighing
        inputs = {"keys": keys, "data": placed, "cumulative": weights}
        first, cpu = jnp.zeros((), jnp.int32), time.process_time()
        lowered = run_chunk.lower(algorithm, states, mesh=mesh, first=first, phase_index=index, length=length, **inputs)
        compiled = lowered.compile()
        cost["compile_cpu_seconds"] += time.process_time() - cpu
        cpu, wall = time.process_time(), time.perf_counter()
        for done in range(0, phase.updates, length):
            states, metrics = compiled(states, first=jnp.asarray(done, jnp.int32), **inputs)
            jax.block_until_ready((states, metrics))
        cost["cpu_seconds"][phase.name] = time.process_time() - cpu + weighing
        cost["wall_seconds"][phase.name] = time.perf_counter() - wall
        print(f"{phase.name}: {phase.updates} updates, {cost['cpu_seconds'][phase.name]:.1f} CPU seconds", flush=True)
    return states, cost


def judge(algorithm: FISOR, states: Any, exact: ExactSet, seeds: Sequence[int], *, starts: int) -> list[dict[str, Any]]:
    """Region and policy of every seed."""
    first = draw_starts(exact.value, feasible=starts, infeasible=1)
    feasible = np.array(first.sets) == "feasible"
    records = roll_out_seeds(algorithm, states, first.poses[feasible], seeds=seeds)
    poses = [slice_poses(*one) for one in SLICES]
    seen = [observe(jnp.asarray(one, jnp.float32)) for one in poses]
    value = jax.jit(algorithm.feasible_value)
    learned = np.array([[value(member(states, place), one) for place in range(len(seeds))] for one in seen])
    regions = score_seeds(learned, np.stack([exact.value(one) for one in poses]))
    rows = []
    for place, seed in enumerate(seeds):
        rows.append(
            {
                "seed": seed,
                "feasible_region": {name: scores[place] for name, scores in regions.items()},
                "violation_free_share": float(np.mean(records.cost[place] == 0)),
                "mean_return": float(np.mean(records.episode_return[place])),
            }
        )
    return rows


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds."""
    region = {
        name: np.mean([row["feasible_region"][name] for row in rows], 0).tolist() for name in rows[0]["feasible_region"]
    }
    names = ("cpu_seconds_per_seed", "violation_free_share", "mean_return")
    means = {name: float(np.mean([row[name] for row in rows])) for name in names}
    return {"seeds": [row["seed"] for row in rows], **means, "feasible_region": region}


def compare(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A summary of each variant, and the decoupled one's share of each other's CPU time; seeds that both have."""
    variants = {
        name: [row for row in rows if row["variant"] == name] for name in dict.fromkeys(r["variant"] for r in rows)
    }
    found: dict[str, Any] = {name: summary(mine) for name, mine in variants.items()}
    for name, mine in variants.items():
        common = {row["seed"] for row in mine} & {row["seed"] for row in variants.get("decoupled", [])}
        if name != "decoupled" and common:
            ours, theirs = (
                summary([row for row in part if row["seed"] in common]) for part in (variants["decoupled"], mine)
            )
            found[name]["decoupled_share_of_cpu_time"] = ours["cpu_seconds_per_seed"] / theirs["cpu_seconds_per_seed"]
    return found


def show(found: dict[str, Any]) -> None:
    """The table."""
    for name, row in found.items():
        print(f"{name}: seeds {row['seeds']}, {row['cpu_seconds_per_seed']:.1f} CPU seconds a seed")
        for score, values in row["feasible_region"].items():
            print(f"  {score:18s} {'  '.join(f'{value:.3f}' for value in values)}  (mean {np.mean(values):.3f})")
        print(f"  violation-free {row['violation_free_share']:.2%}, mean return {row['mean_return']:.2f}")
        if "decoupled_share_of_cpu_time" in row:
            share = row["decoupled_share_of_cpu_time"]
            print(f"  decoupled took of its CPU time {_machine.verdict(share, round(CPU_SHARE, 3), at_most=True)}")


def main() -> None:
    # As `surefoot quickstart` trains: a device a core, one thread each. Read when the backend starts, which is later.
    os.environ.setdefault(
        "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false --xla_cpu_enable_concurrency_optimized_scheduler=false"
    )
    jax.config.update("jax_num_cpu_devices", _machine.cores())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedule", choices=("decoupled", "joint"), required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--updates", type=int, default=15_000, help="of the constraint values")
    parser.add_argument("--learning-rate", type=float, help="of the values in joint training, instead of the preset's")
    parser.add_argument("--discount", type=float, help="of the constraint in joint training, instead of the preset's")
    parser.add_argument("--transitions", type=int, default=100_000)
    parser.add_argument("--starts", type=int, default=400)
    parser.add_argument("--results", default="schedules", help="name of the file under benchmarks/results")
    options = parser.parse_args()
    if options.schedule == "decoupled" and (options.learning_rate is not None or options.discount is not None):
        parser.error("--learning-rate and --discount are for --schedule joint.")
    head = _machine.head()
    if options.schedule == "joint":
        algorithm = joint(options.updates, learning_rate=options.learning_rate, discount=options.discount)
    else:
        algorithm = decoupled(options.updates)
    variant = options.schedule
    for name in ("learning_rate", "discount"):
        if getattr(options, name) is not None:
            variant += f", {name} {getattr(options, name):g}"

    dataset = collect_point_robot(transitions=options.transitions, seed=0)
    data = algorithm.prepare(dataset, get_task("PointRobot"))
    states, cost = train(algorithm, jax.tree.map(jnp.asarray, data), options.seeds)
    exact = solve_point_robot()
    settings = {name: getattr(options, name) for name in ("updates", "transitions", "starts")}
    shared = {"variant": variant, "settings": settings, "measured": head, "training": cost}
    shared["cpu_seconds_per_seed"] = sum(cost["cpu_seconds"].values()) / len(options.seeds)
    new = [shared | row for row in judge(algorithm, states, exact, options.seeds, starts=options.starts)]

    path = _machine.RESULTS / f"{options.results}.json"
    old = json.loads(path.read_text())["rows"] if path.exists() else []
    replaced = {(variant, seed) for seed in options.seeds}
    kept = [row for row in old if (row["variant"], row["seed"]) not in replaced and row["settings"] == settings]
    rows = sorted(kept + new, key=lambda row: (row["variant"], row["seed"]))
    found = compare(rows)
    show(found)
    print(_machine.write(options.results, {"summary": found, "rows": rows}))


if __name__ == "__main__":
    main()
