"""FOSP's full-size update: how long it compiles, how long it takes, and what it needs.

    JAX_PLATFORMS=cpu python benchmarks/fosp_update.py --updates 1      # 7.5 GB, a minute to compile, another an update
    python benchmarks/fosp_update.py --compute float32 bfloat16         # with an accelerator

Preset `intended`: 16 windows of 64 frames of two cameras, 64 x 64; the chunk that `surefoot train` compiles, one seed.
CPU seconds beside wall seconds: a machine that does other things slows the wall only. Writes
benchmarks/results/fosp_update.json.
"""

import argparse
import os
import time
from dataclasses import replace
from typing import Any

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import jax
import jax.numpy as jnp
import numpy as np

import _machine
from surefoot.algorithms.fosp import FOSP
from surefoot.data.frames import Frames, FrameWindows
from surefoot.hyperparameters import change
from surefoot.presets import PRESETS
from surefoot.training.chunk import UPDATE_STREAM, init_states, replicate, run_chunk, seed_keys, seed_mesh
from surefoot.types import DataSpec

IMAGE = (64, 64, 6)
SPEC = DataSpec(observation_dim=64 * 64 * 6, action_dim=2, horizon=250, image_shape=IMAGE)
FRAMES = 502
"""Two episodes of 250 decisions."""
COMPILE_SECONDS, UPDATES_PER_SECOND = 120.0, 10.0


def synthetic(*, seed: int = 0) -> FrameWindows:
    """Noise in the shapes of a vision task; a fifth of the frames cost something."""
    random = np.random.default_rng(seed)
    frames = Frames(
        observation=jnp.asarray(random.integers(0, 256, (FRAMES, *IMAGE), dtype=np.uint8)),
        action=jnp.asarray(random.uniform(-1.0, 1.0, (FRAMES, 2)), jnp.float32),
        reward=jnp.asarray(random.normal(size=FRAMES), jnp.float32),
        cost=jnp.asarray(random.uniform(size=FRAMES) < 0.2, jnp.float32),
        is_first=jnp.arange(FRAMES) % 251 == 0,
        terminated=jnp.zeros(FRAMES, bool),
    )
    return FrameWindows(frames, length=64)


def parameters(state: Any) -> dict[str, int]:
    """Numbers in each part that learns."""
    parts = {
        **{name: getattr(state.model, name) for name in ("encoder", "rssm", "decoder", "reward", "cost", "going_on")},
        "actor": state.actor,
        "critics": state.critics,
        "slow copies": state.slow,
    }
    counts = {name: sum(leaf.size for leaf in jax.tree.leaves(part)) for name, part in parts.items()}
    return {**counts, "all": sum(counts.values())}


class Clock:
    """Seconds since it was made, on the wall and of this process."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        return {
            "wall_seconds": round(time.perf_counter() - self._wall, 2),
            "cpu_seconds": round(time.process_time() - self._cpu, 2),
        }


def measure(compute: Any, *, updates: int) -> dict[str, Any]:
    """Trace, compile and run chunks of one update."""
    changes = PRESETS["fosp"]["intended"]
    algorithm = change(FOSP(), **changes)
    algorithm = replace(algorithm, world_model=replace(algorithm.world_model, compute=compute))
    mesh = seed_mesh((0,))
    clock = Clock()
    states = replicate(init_states(algorithm, SPEC, (0,)), mesh)
    jax.block_until_ready(states)
    figures: dict[str, Any] = {"init": clock.read(), "parameters": parameters(states)}
    inputs = {
        "keys": replicate(seed_keys((0,), stream=UPDATE_STREAM), mesh),
        "data": replicate(synthetic(), mesh),
        "cumulative": None,
    }
    clock = Clock()
    first = replicate(jnp.int32(0), mesh)
    lowered = run_chunk.lower(algorithm, states, mesh=mesh, **inputs, first=first, phase_index=0, length=1)
    figures["trace"] = {**clock.read(), "lines": len(lowered.as_text().splitlines())}
    clock = Clock()
    program = lowered.compile()
    figures["compile"] = clock.read()
    memory: Any = program.memory_analysis()
    cost: Any = program.cost_analysis()
    figures["program"] = {
        "temporary_gb": round(memory.temp_size_in_bytes / 1e9, 2),
        "arguments_gb": round(memory.argument_size_in_bytes / 1e9, 2),
        "gflop_per_update": round(cost.get("flops", 0.0) / 1e9),
    }
    print(f"{compute}: {figures}", flush=True)
    figures["updates"] = []
    for number in range(updates):
        clock = Clock()
        states, metrics = program(states, **inputs, first=replicate(jnp.int32(number), mesh))
        jax.block_until_ready(states)
        figures["updates"].append(clock.read())
        losses = {name: float(value[0]) for name, value in metrics.items()}
        assert all(np.isfinite(value) for value in losses.values()), losses
        if number < 3 or number == updates - 1:
            print(f"  update {number + 1}: {figures['updates'][-1]}, model loss {losses['model/loss']:.1f}", flush=True)
    figures["peak_memory_gb"] = round(_machine.peak_memory_mb() / 1e3, 2)
    device = jax.devices()[0].memory_stats()
    if device and "peak_bytes_in_use" in device:
        figures["device_peak_memory_gb"] = round(device["peak_bytes_in_use"] / 1e9, 2)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compute", nargs="+", choices=("float32", "bfloat16"), default=["float32"])
    parser.add_argument("--updates", type=int, default=20)
    options = parser.parse_args()
    results: dict[str, Any] = {**_machine.head(), "preset": "intended", "seeds": 1, "compute": {}}
    for compute in options.compute:
        results["compute"][compute] = figures = measure(compute, updates=options.updates)
        print(f"compile: {_machine.verdict(figures['compile']['wall_seconds'], COMPILE_SECONDS, at_most=True)} s")
        if jax.default_backend() != "cpu" and options.updates > 1:
            rate = 1.0 / np.median([one["wall_seconds"] for one in figures["updates"][1:]])
            print(f"updates per second: {_machine.verdict(float(rate), UPDATES_PER_SECOND)}")
    print(_machine.write("fosp_update", results))


if __name__ == "__main__":
    main()
