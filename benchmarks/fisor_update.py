"""The rate of FISOR's full-size update, against a plain loop and against matrix products, in the same process.

    JAX_PLATFORMS=cpu python benchmarks/fisor_update.py        # about 3 minutes on two quiet cores, 2 GB

Observation 76, action 2, a million synthetic rows; joint schedule: 2048 transitions are two policy steps of 1024, the
values learn from the first 256. The three are timed in turns, block after block, so that a machine that slows down
slows all of them. Writes benchmarks/results/fisor_update.json with every block's seconds.
"""

import argparse
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import _machine
import _plain_fisor as plain
from _chunks import Block, training_block
from surefoot.algorithms.fisor import FISOR, FISORState
from surefoot.diffusion.policy import DiffusionPolicyConfig
from surefoot.hyperparameters import change
from surefoot.nn import MLP, Denoiser, DenoiserConfig
from surefoot.types import DataSpec, Transition

SPEC = DataSpec(observation_dim=76, action_dim=2, horizon=1000)
FLOP_PER_UPDATE = 23e9
"""The issue's figure; the products of our update, without those it saves, are 22.4e9."""
PRODUCTS = ((1024, 256, 1024), (1024, 1024, 256), (256, 1024, 1024))
"""(m, k, n) of the update's largest: a block's two layers, which are also the gradients of their inputs, and the
gradient of the first layer's kernel; that of the second has the second's own shape. The best of them is the measure."""
SPEEDUP, GEMM_SHARE, MEMORY_MB = 1.3, 0.7, 2000.0


def synthetic(rows: int, *, seed: int = 0, spec: DataSpec = SPEC) -> Transition:
    """Standard normal numbers in the shapes of a DSRL task; one transition in 300 terminates. On the device."""
    random = np.random.default_rng(seed)

    def normal(*shape: int) -> jax.Array:
        return jax.device_put(random.standard_normal(shape, dtype=np.float32))

    return Transition(
        observation=normal(rows, spec.observation_dim),
        action=jnp.tanh(normal(rows, spec.action_dim)),
        reward=normal(rows),
        cost=jnp.zeros(rows),
        next_observation=normal(rows, spec.observation_dim),
        terminated=(normal(rows) > 2.7).astype(jnp.float32),
        truncated=jnp.zeros(rows),
        constraint=normal(rows),
        constraint_before=normal(rows),
        constraint_ahead=normal(rows),
        episode_violations=jnp.zeros(rows),
        episode_cost=jnp.zeros(rows),
    )


def full_size(*, dropout: float = 0.1) -> FISOR:
    """The paper's networks and schedule."""
    return change(FISOR(), schedule="joint", diffusion=DiffusionPolicyConfig(network=DenoiserConfig(dropout=dropout)))


# ---- the same state and the same numbers in both -------------------------------------------------------------------


def as_plain(state: FISORState) -> plain.PlainState:
    """Our state as the plain loop holds it, optimisers included; copies."""

    def network(node: Any) -> Any:
        if isinstance(node, Denoiser):
            return {
                "frequencies": node.frequencies,
                "time": [(layer.kernel, layer.bias) for layer in node.time_layers],
                "entry": (node.entry.kernel, node.entry.bias),
                "blocks": [
                    {
                        "norm": (block.norm.scale, block.norm.bias),
                        "dense": [(layer.kernel, layer.bias) for layer in (block.expand, block.contract)],
                    }
                    for block in node.blocks
                ],
                "exit": (node.exit.kernel, node.exit.bias),
            }
        if isinstance(node, MLP):
            if node.layers[0].kernel.ndim == 2:
                return [(layer.kernel, layer.bias) for layer in node.layers]
            members = range(node.layers[0].kernel.shape[0])
            return tuple([(layer.kernel[m], layer.bias[m]) for layer in node.layers] for m in members)
        return node

    def converted(tree: Any) -> Any:
        tree = jax.tree.map(network, tree, is_leaf=lambda node: isinstance(node, Denoiser | MLP))
        return jax.tree.map(jnp.copy, tree)

    def single(tree: Any) -> Any:  # V_h has one member
        return converted(
            jax.tree.map(
                lambda node: jax.tree.map(lambda leaf: leaf[0], node) if isinstance(node, MLP) else node,
                tree,
                is_leaf=lambda node: isinstance(node, MLP),
            )
        )

    reward, constraint, policy = state.reward, state.constraint, state.policy
    return plain.PlainState(
        q_r=converted(reward.critic),
        q_r_target=converted(reward.critic_target),
        v_r=converted(reward.value),
        q_h=converted(constraint.critic),
        q_h_target=converted(constraint.critic_target),
        v_h=single(constraint.value),
        policy=converted(policy.network),
        policy_ema=converted(policy.network_ema),
        q_r_optimizer=converted(reward.critic_optimizer),
        v_r_optimizer=converted(reward.value_optimizer),
        q_h_optimizer=converted(constraint.critic_optimizer),
        v_h_optimizer=single(constraint.value_optimizer),
        policy_optimizer=converted(policy.optimizer),
    )


def largest_difference(data: Transition) -> float:
    """One update of both without dropout from the same state on the same batch: the largest relative difference (norm
    of the difference over the norm) of any array of the new states, moments of the optimisers included.

    Three updates come before: Adam's very first step is the sign of the gradient, which no rounding leaves alone.
    """
    algorithm = full_size(dropout=0.0)
    update = jax.jit(algorithm.update, static_argnames="phase")
    batch = jax.tree.map(lambda values: values[:2048], data)
    state = algorithm.init(SPEC, jax.random.key(0))
    for number in range(3):
        state, _ = update(state, batch, jax.random.key(number), phase="joint")
    theirs, _ = jax.jit(plain.update, static_argnames="dropout")(as_plain(state), batch, jax.random.key(3), dropout=0.0)
    ours = as_plain(update(state, batch, jax.random.key(3), phase="joint")[0])
    pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
    floats = [(np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in pairs]
    return max(float(np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-30)) for a, b in floats)


# ---- timing ----------------------------------------------------------------------------------------------------------


def plain_block(data: Transition, updates: int) -> tuple[Block, float]:
    """A block of `updates` of the plain loop, one dispatch each; and the seconds its compilation took."""
    state = as_plain(full_size().init(SPEC, jax.random.key(0)))
    key = jax.random.key(0)
    began = time.perf_counter()
    compiled = plain.step.lower(state, data, key, dropout=0.1).compile()
    seconds = time.perf_counter() - began

    def block() -> None:
        nonlocal state, key
        losses = {}
        for _ in range(updates):
            key, step_key = jax.random.split(key)
            state, losses = compiled(state, data, step_key)
        jax.block_until_ready((state, losses))

    return block, seconds


def product_block(shape: tuple[int, int, int], *, repeats: int = 10) -> Block:
    """`repeats` products [m, k] x [k, n]."""
    m, k, n = shape
    x = jax.random.normal(jax.random.key(0), (m, k))
    w = jax.random.normal(jax.random.key(1), (k, n))
    product = jax.jit(jnp.matmul).lower(x, w).compile()

    def block() -> None:
        for _ in range(repeats):
            product(x, w).block_until_ready()

    return block


def time_in_turns(blocks: dict[str, Block], *, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Wall and CPU seconds of each block in each round, after one that is not counted."""
    seconds = {name: {"wall": [], "cpu": []} for name in blocks}
    for turn in range(rounds + 1):
        for name, block in blocks.items():
            wall, cpu = time.perf_counter(), time.process_time()
            block()
            if turn > 0:
                seconds[name]["wall"].append(time.perf_counter() - wall)
                seconds[name]["cpu"].append(time.process_time() - cpu)
    return seconds


# ---- what they say ---------------------------------------------------------------------------------------------------


def figures(seconds: dict[str, dict[str, list[float]]], *, updates: int, repeats: int) -> dict[str, Any]:
    """Median rates; the speed-up is the median over the rounds of plain seconds / our seconds."""
    ours, theirs = (np.array(seconds[name]["wall"]) for name in ("ours", "plain"))
    rates = {
        "x".join(map(str, shape)): 2 * np.prod(shape) * repeats / np.median(seconds[f"product {shape}"]["wall"]) / 1e9
        for shape in PRODUCTS
    }
    rate = updates / np.median(ours)
    return {
        "updates_per_second": float(rate),
        "plain_updates_per_second": float(updates / np.median(theirs)),
        "speedup": float(np.median(theirs / ours)),
        "gflops": float(rate * FLOP_PER_UPDATE / 1e9),
        "gemm_gflops": {name: float(value) for name, value in rates.items()},
        "share_of_best_gemm": float(rate * FLOP_PER_UPDATE / 1e9 / max(rates.values())),
        "cpu_seconds_per_update": float(np.median(seconds["ours"]["cpu"]) / updates),
        "plain_cpu_seconds_per_update": float(np.median(seconds["plain"]["cpu"]) / updates),
        "cpu_speedup": float(np.median(np.array(seconds["plain"]["cpu"]) / np.array(seconds["ours"]["cpu"]))),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="transitions of synthetic data")
    parser.add_argument("--updates", type=int, default=10, help="updates in a block")
    parser.add_argument("--rounds", type=int, default=12, help="blocks of each kind that are counted")
    options = parser.parse_args()
    head = _machine.head()

    data = jax.block_until_ready(synthetic(options.rows))
    block, compile_seconds = training_block(full_size(), SPEC, data, seeds=(0,), updates=options.updates)
    block()
    memory = _machine.peak_memory_mb()  # of ours with its data; what follows belongs to the comparison
    theirs, plain_compile_seconds = plain_block(data, options.updates)
    repeats = 10
    blocks = {"ours": block, "plain": theirs}
    blocks |= {f"product {shape}": product_block(shape, repeats=repeats) for shape in PRODUCTS}
    seconds = time_in_turns(blocks, rounds=options.rounds)
    found = figures(seconds, updates=options.updates, repeats=repeats)
    found |= {"compile_seconds": compile_seconds, "plain_compile_seconds": plain_compile_seconds}
    found |= {"peak_memory_mb": memory, "peak_memory_mb_with_plain_loop": _machine.peak_memory_mb()}
    found["largest_relative_difference"] = difference = largest_difference(data)
    if difference > 1e-4:
        raise SystemExit(f"one update of both: expected a relative difference of at most 1e-4, found {difference:.2g}.")

    for name, value in found.items():
        print(f"{name:34s} {value if isinstance(value, dict) else format(value, '.4g')}")
    print(f"speed-up over the plain loop: {_machine.verdict(found['speedup'], SPEEDUP)}")
    print(f"share of the best product's rate: {_machine.verdict(found['share_of_best_gemm'], GEMM_SHARE)}")
    print(f"peak memory, MB: {_machine.verdict(found['peak_memory_mb'], MEMORY_MB, at_most=True)}")
    settings = vars(options) | {"flop_per_update": FLOP_PER_UPDATE, "products_per_block": repeats}
    print(_machine.write("fisor_update", head | {"settings": settings, "figures": found, "block_seconds": seconds}))


if __name__ == "__main__":
    main()
