"""TREBI's values of reward and cost: one network with two heads, or a network for each?

    python benchmarks/value_heads.py SafeReacher --data FILE      # about 15 minutes on one core

Trains the values of the preset `small` on the data, in both forms, and with two heads in a network as large as the two
networks together. Measured on the episodes that training holds out: the error of the reward and of the cost to come, in
units of their spread, of clean segments, which choose plans, and of noisy ones, which may guide them. CPU seconds of an
update, compilation apart. Writes benchmarks/results/value_heads.json.
"""

import argparse
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

import _machine
from surefoot import presets
from surefoot.algorithms.trebi import TREBI
from surefoot.algorithms.trebi.agent import value_outputs
from surefoot.algorithms.trebi.segments import SegmentData, Segments
from surefoot.data import load
from surefoot.diffusion.policy import draw_noisy
from surefoot.hyperparameters import change
from surefoot.planning import fix_observation
from surefoot.tasks import get_task

HELD_OUT = 8_192
"""Segments that errors are measured on."""


def arms(small: TREBI) -> dict[str, TREBI]:
    """Name -> what is compared."""
    wider = replace(small.values.value_network, width=small.values.value_network.width + 8)
    return {
        "two networks": change(small, value_heads="separate"),
        "two heads": change(small, value_heads="shared"),
        "two heads, wider": change(small, value_heads="shared", value_network=wider),
    }


@partial(jax.jit, static_argnames=("algorithm", "updates"))
def train(algorithm: TREBI, state: Any, data: SegmentData, key: Any, *, updates: int) -> Any:
    """So many updates of the values."""

    def one(state: Any, step_key: Any) -> tuple[Any, None]:
        k_rows, k_update = jax.random.split(step_key)
        rows = jax.random.randint(k_rows, (algorithm.training.batch_size,), 0, data.num_rows)
        return algorithm.update(state, data.take(rows), k_update, phase="values")[0], None

    return jax.lax.scan(one, state, jax.random.split(key, updates))[0]


@partial(jax.jit, static_argnames="algorithm")
def errors(algorithm: TREBI, state: Any, segments: Segments, key: Any) -> dict[str, Any]:
    """Root mean squared errors [reward, cost] of the members, clean and noisy, and of what the planner reads."""
    mean, deviation = algorithm._target_scales(state)
    target = ((segments.to_come - mean[None]) / deviation[None]).T
    first = segments.x[:, 0, state.model.network.action_dim :]
    noisy, _, t = draw_noisy(segments.x, key, algorithm.schedule)
    found = {}
    for name, x, times in (("clean", segments.x, jnp.zeros_like(t)), ("noisy", fix_observation(noisy, first), t)):
        said = value_outputs(state.values.average, x, times, segments.share_left, know_time_left=True)
        found[name] = jnp.sqrt(jnp.mean((said - target[:, None]) ** 2, (1, 2)))
    said = value_outputs(state.values.average, segments.x, jnp.zeros(1), segments.share_left, know_time_left=True)
    planner = jnp.stack([said[0].mean(0), said[1].max(0)])
    found["clean, as the planner reads it"] = jnp.sqrt(jnp.mean((planner - target) ** 2, 1))
    return found


def measure(algorithm: TREBI, data: SegmentData, task: Any, seeds: list[int]) -> dict[str, Any]:
    """One arm: errors of each seed as [reward, cost], parameters, CPU seconds of an update."""
    init = jax.jit(partial(algorithm.init, task.spec))
    starts = np.random.default_rng(0).integers(data.num_rows, size=HELD_OUT)
    held_out = data.take(jnp.asarray(starts)).held_out
    size = sum(leaf.size for leaf in jax.tree.leaves(init(jax.random.key(0)).values.network))
    found: dict[str, Any] = {"parameters": size, "seeds": {}}
    for seed in seeds:
        k_init, k_train, k_noise = jax.random.split(jax.random.key(seed), 3)
        program = train.lower(
            algorithm, init(k_init), data, k_train, updates=algorithm.training.value_updates
        ).compile()
        began = time.process_time()
        state = jax.block_until_ready(program(init(k_init), data, k_train))
        spent = time.process_time() - began
        scores = {name: np.asarray(pair).tolist() for name, pair in errors(algorithm, state, held_out, k_noise).items()}
        found["seeds"][seed] = {"cpu_milliseconds_an_update": 1e3 * spent / algorithm.training.value_updates, **scores}
    for name in next(iter(found["seeds"].values())):
        found[name] = np.mean([scores[name] for scores in found["seeds"].values()], 0).tolist()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--updates", type=int, help="instead of the preset's")
    options = parser.parse_args()
    task = get_task(options.task)
    small = presets.build("trebi", task)
    assert isinstance(small, TREBI)
    if options.updates:
        small = change(small, value_updates=options.updates)
    data = jax.tree.map(jnp.asarray, small.prepare(load(options.data, task=task), task))
    results = {**_machine.head(), "task": task.name, "updates": small.training.value_updates, "arms": {}}
    for name, algorithm in arms(small).items():
        results["arms"][name] = row = measure(algorithm, data, task, options.seeds)
        print(f"{name}: { {key: value for key, value in row.items() if key != 'seeds'} }", flush=True)
    print(_machine.write("value_heads", results))


if __name__ == "__main__":
    main()
