"""CPU seconds of TREBI's decisions and updates, at the authors' sizes and in the fast presets.

    JAX_PLATFORMS=cpu XLA_FLAGS=--xla_cpu_multi_thread_eigen=false python benchmarks/planning.py   # 5 minutes
    python benchmarks/planning.py                      # with a GPU: wall milliseconds there, the legacy plan among 64

The legacy plan is that of the toys: horizon 32, T = 20, two gradient steps before each denoising step, 128 candidates,
observations of 3 numbers and actions of 1, fresh weights. A training step is one update on 2 x 32 segments. The public
implementation takes 20.9 and 0.52 CPU seconds for them on one core of this kind of machine. Compilation is counted
apart; on a CPU all are timed in turns. Writes benchmarks/results/planning.json, on a GPU planning_gpu.json.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import _machine
from _trebi_tables import PUBLIC_PLAN, PUBLIC_UPDATE
from surefoot.algorithms.trebi import TREBI
from surefoot.algorithms.trebi.segments import Batch, Segments
from surefoot.hyperparameters import change
from surefoot.planning import fused_networks
from surefoot.presets.trebi import TREBI_PRESETS
from surefoot.types import DataSpec, PolicyInputs

SPEC = DataSpec(observation_dim=3, action_dim=1, horizon=200)
PLAN_TARGET, UPDATE_TARGET, FAST_TARGET = 10.0, 0.30, 40.0
GPU_PLAN_TARGET, GPU_FAST_TARGET = 20.0, 3.0
"""Milliseconds on an H200."""


class Work(NamedTuple):
    """Something that is compiled and has been done once."""

    call: Callable[[], Any]
    first_call_seconds: float
    environments: int = 1
    """For which a call decides."""
    calls: int = 1
    """In each round."""


def timed(work: dict[str, Work], *, rounds: int) -> dict[str, dict[str, Any]]:
    """CPU and wall seconds of each call, all in turns, so that a machine that slows down slows all of them."""
    found: dict[str, dict[str, Any]] = {
        name: {"first_call_seconds": one.first_call_seconds, "cpu_seconds": [], "wall_seconds": []}
        for name, one in work.items()
    }
    for _ in range(rounds):
        for name, one in work.items():
            for _ in range(one.calls):
                wall, cpu = time.perf_counter(), time.process_time()
                jax.block_until_ready(one.call())
                found[name]["cpu_seconds"].append(time.process_time() - cpu)
                found[name]["wall_seconds"].append(time.perf_counter() - wall)
    for row in found.values():
        row["median_cpu_seconds"] = float(np.median(row["cpu_seconds"]))
        row["median_wall_seconds"] = float(np.median(row["wall_seconds"]))
    return found


def decision(algorithm: TREBI, *, environments: int = 1, calls: int = 1) -> Work:
    """One decision for so many environments at once, as `LoadedPolicy` asks for it; where the sampler starts warm, with
    the plan before at hand."""
    state = jax.jit(partial(algorithm.init, SPEC))(jax.random.key(0))
    leaves, structure = jax.tree.flatten(state)
    policy = algorithm.policy(state)
    random = np.random.default_rng(0)
    observation = jnp.asarray(random.standard_normal((environments, 3)), jnp.float32)
    inputs = PolicyInputs(observation, jnp.linspace(0.0, 1.0, environments), jnp.full(environments, 7, jnp.int32))
    step = jax.jit(
        lambda leaves, memory, key: algorithm.policy(jax.tree.unflatten(structure, leaves)).act(memory, inputs, key)
    )
    memory, began = policy.initial(environments), time.perf_counter()
    memory, _ = jax.block_until_ready(step(leaves, memory, jax.random.key(0)))
    first = time.perf_counter() - began
    jax.block_until_ready(step(leaves, memory, jax.random.key(1)))
    return Work(lambda: step(leaves, memory, jax.random.key(1)), first, environments, calls)


def training(algorithm: TREBI, *, phase: str) -> Work:
    """One update on a batch of noise."""
    random = np.random.default_rng(0)
    state = jax.jit(partial(algorithm.init, SPEC))(jax.random.key(0))
    size, width = algorithm.training.batch_size, SPEC.observation_dim + SPEC.action_dim
    x = jnp.asarray(random.standard_normal((size, algorithm.plan_horizon, width)), jnp.float32)
    segments = Segments(x, jnp.asarray(random.standard_normal((size, 2)), jnp.float32), jnp.full(size, 0.5))
    batch = Batch(segments, segments)
    update = jax.jit(partial(algorithm.update, phase=phase))
    began = time.perf_counter()
    jax.block_until_ready(update(state, batch, jax.random.key(1)))
    return Work(lambda: update(state, batch, jax.random.key(1)), time.perf_counter() - began, calls=4)


def parameters(algorithm: TREBI) -> dict[str, int]:
    state = jax.eval_shape(partial(algorithm.init, SPEC), jax.random.key(0))
    count = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))  # noqa: E731
    values = count(state.values.network)
    return {"model": count(state.model.network), "values": values}


def whole_form_difference(legacy: TREBI) -> dict[str, float]:
    """Of the form in which networks plan (`planning.fused_networks`) from the networks as they are, both here:
    the denoiser's clean segments, the values and their gradient, each relative to its largest number. Float16 there and
    TF32 here leave some thousandths."""
    state = jax.jit(partial(legacy.init, SPEC))(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (legacy.num_candidates, legacy.plan_horizon, 4))
    t = jnp.array([7.0])

    def values(networks: Any, x: jax.Array) -> jax.Array:
        return jax.vmap(lambda network: network(x, t))(networks)

    @jax.jit
    def say(model: Any, networks: Any) -> dict[str, jax.Array]:
        gradient = jax.grad(lambda x: values(networks, x).sum())(x)
        return {"clean": model(x, t), "values": values(networks, x), "gradient": gradient}

    plain = say(state.model.network, state.values.network)
    planning = say(*fused_networks.both(state.model.network, state.values.network, legacy.plan_horizon,
                               times=legacy.diffusion_steps))  # fmt: skip
    return {name: float(jnp.abs(planning[name] - plain[name]).max() / jnp.abs(plain[name]).max()) for name in plain}


def on_gpu(legacy: TREBI, fast: TREBI) -> dict[str, Any]:
    """Milliseconds of decisions."""
    found: dict[str, Any] = {}
    legacy = replace(legacy, num_candidates=64)
    found["whole_form_difference"] = difference = whole_form_difference(legacy)
    print(f"as they plan, largest relative difference from the networks as they are: {difference}", flush=True)
    cases: tuple[tuple[str, TREBI, int, float | None], ...] = (
        ("legacy_plan_64", legacy, 1, GPU_PLAN_TARGET),
        ("fast_plan_1", fast, 1, GPU_FAST_TARGET),
        ("fast_plan_40", fast, 40, None),
        ("legacy_plan_64_for_40", legacy, 40, None),
    )
    for name, algorithm, environments, target in cases:
        found |= timed({name: decision(algorithm, environments=environments)}, rounds=30)
        row = found[name]
        milliseconds = 1e3 * row["median_wall_seconds"]
        judged = f"{milliseconds:.3g}" if target is None else _machine.verdict(milliseconds, target, at_most=True)
        print(f"{name}: {judged} ms; first call {row['first_call_seconds']:.1f} s", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="legacy plans that are counted, others in turns")
    options = parser.parse_args()
    legacy, fast = (change(TREBI(), **TREBI_PRESETS[name]) for name in ("legacy", "small"))
    results: dict[str, Any] = _machine.head() | {"settings": vars(options)}
    results["parameters"] = {"legacy": parameters(legacy), "small": parameters(fast)}
    print(results["parameters"])
    if jax.default_backend() == "gpu":
        print(_machine.write("planning_gpu", results | on_gpu(legacy, fast)))
        return

    print(_machine.write("planning", results | on_cpu(legacy, fast, rounds=options.rounds)))


def on_cpu(legacy: TREBI, fast: TREBI, *, rounds: int) -> dict[str, Any]:
    """CPU seconds of decisions and updates."""
    work = {
        "legacy_plan": decision(legacy),
        "legacy_fast_plan": decision(change(TREBI(), **TREBI_PRESETS["legacy_fast"]), calls=10),
        "fast_plan_1": decision(fast, calls=10),
        "fast_plan_40": decision(fast, environments=40, calls=10),
    }
    for preset, algorithm in (("legacy", legacy), ("fast", fast)):
        for phase in ("model", "values"):
            work[f"{preset}_update_{phase}"] = training(algorithm, phase=phase)
    results = timed(work, rounds=rounds)
    plan = results["legacy_plan"]["median_cpu_seconds"]
    for name, row in results.items():
        cpu, wall = row["median_cpu_seconds"], row["median_wall_seconds"]
        said = f"{1e3 * cpu:.4g} ms of CPU, {1e3 * wall:.4g} ms; first call {row['first_call_seconds']:.1f} s"
        if name == "legacy_plan":
            said += f"; {_machine.verdict(cpu, PLAN_TARGET, at_most=True)} s; public {PUBLIC_PLAN}"
        elif name.startswith("legacy_update"):
            said += f"; {_machine.verdict(cpu, UPDATE_TARGET, at_most=True)} s; public {PUBLIC_UPDATE}"
        elif "plan" in name:
            row["cpu_seconds_per_environment"] = cpu / work[name].environments
            ratio = plan / row["cpu_seconds_per_environment"]
            said += f"; legacy over it, per environment: {_machine.verdict(ratio, FAST_TARGET)}"
        print(f"{name}: {said}")
    return results


if __name__ == "__main__":
    main()
