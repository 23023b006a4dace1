"""Fine-tuning online: a trained policy acts in a task, and learns from its new episodes and from its offline data.

It goes in rounds. In each round every environment takes as many steps as the longest episode has: one whole episode, or
several where they end early, the last of which is cut. The episodes join the replay. Then follow as many updates as the
ratio says, on windows drawn uniformly from the whole replay, or with a share of each batch from new frames. All random
numbers are functions of (seed, round), and a checkpoint holds the replay's new part, so that a killed run ends with the
bits of an undisturbed one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key
from typing_extensions import TypedDict

from surefoot import checkpoint
from surefoot.data.frames import FrameData, FrameWindows
from surefoot.envs.pure import PureTask
from surefoot.errors import CheckpointError, ConfigError, DivergenceError, SurefootError
from surefoot.files import json_rows, write_whole
from surefoot.interrupts import deferred_interrupts
from surefoot.json_files import read_rows
from surefoot.nn import member
from surefoot.numerics import enough_memory, pinned
from surefoot.protocols import FineTunes
from surefoot.ranges import Range, Ranged
from surefoot.rollouts.stream import OnlineSimulator, Stream, roll_out_envs, roll_out_stream
from surefoot.training.chunk import all_finite, seed_keys, state_template
from surefoot.training.replay import Replay, append, draw_windows, make_replay, new_part, with_new_part
from surefoot.training.run_directory import RunDirectory
from surefoot.types import FORMERLY, DataSpec

ONLINE_STREAM = 3
"""Number folded into a seed's key for fine-tuning; training and acting have 0 to 2."""
LOG = "online.jsonl"
REPLAY = "replay"


@dataclass(frozen=True)
class FinetuneSettings(Ranged):
    """Amount of fine-tuning. Hashable, so a static argument of `jit`."""

    steps: Annotated[int, Range("[1, 10^9]")] = 1500
    """Environment steps of each seed, rounded up to whole rounds of `num_envs` times the longest episode."""
    num_envs: Annotated[int, Range("[1, 65536]")] = field(default=10, metadata={FORMERLY: "lanes"})
    """Episodes side by side; after each of them come the updates."""
    ratio: Annotated[float, Range("(0, inf)")] = 0.5
    """Updates per environment step."""
    online_share: Annotated[float, Range("[0, 1]")] = 0.0
    """Share of each batch that is drawn from the new episodes alone; 0: every window of offline and new ones is as
    likely (the authors'), of which new ones are few for long where the offline data are many."""

    def rounds(self, horizon: int) -> int:
        """Rounds of `num_envs` times `horizon` steps."""
        return -(-self.steps // (self.num_envs * horizon))

    def updates(self, horizon: int) -> int:
        """Updates of each seed in a round, for episodes of at most `horizon` steps."""
        return max(1, round(self.ratio * self.num_envs * horizon))


class RoundSteps(NamedTuple):
    """Transitions of one round of n environments, [n, T], and where episodes ended."""

    reward: Float[Array, "n t"]
    cost: Float[Array, "n t"]
    last: Bool[Array, "n t"]


@pinned()
def fine_tune(
    algorithm: FineTunes,
    states: Any,
    offline: FrameData | None,
    task: PureTask | OnlineSimulator,
    *,
    spec: DataSpec,
    seeds: Sequence[int],
    settings: FinetuneSettings,
    run: RunDirectory,
    checkpoint_rounds: int,
    on_progress: Callable[[int, int], None] | None = None,
    stop_at: int | None = None,
) -> list[dict[str, Any]]:
    """Fine-tune the policies of all seeds in a run's folder, from its latest checkpoint on.

    The first Ctrl-C, SIGTERM or SIGHUP stops after the current round, with a checkpoint, and raises
    `KeyboardInterrupt`.

    Args:
        algorithm: Algorithm as `fine_tuning()` returns it.
        states: States of S seeds, each as `frozen(state)` returns it.
        offline: Offline data at the beginning of the replay; None: it starts empty.
        task: Environment to act in.
        spec: Shapes of the data.
        seeds: Seeds, S.
        settings: Steps, environments, ratio of updates.
        run: Folder of the run, whose `start` was called.
        checkpoint_rounds: Rounds between checkpoints.
        on_progress: Called with (rounds done, rounds in all).
        stop_at: Round to stop after; None: the last.

    Returns:
        Rows of the log, one for each round and seed: return, cost, violations, and totals so far.

    Raises:
        DivergenceError: A state or a metric is not finite.
        CheckpointError: The folder's checkpoint cannot be resumed from.
        ConfigError: The first round would not fill a window.
    """
    rounds, updates = settings.rounds(task.horizon), settings.updates(task.horizon)
    # Every episode has a frame more than it has steps; those that end early may be as many as the steps.
    room = rounds * settings.num_envs * (2 * task.horizon if task.ends_early else task.horizon + 1)
    with enough_memory(f"a replay with room for {room} new frames of each seed", "take fewer steps, or fewer seeds"):
        replays = [make_replay(offline, spec, room) for _ in seeds]
    least = settings.num_envs * (task.horizon + 1) + (0 if settings.online_share else int(replays[0].offline))
    if least < algorithm.window:
        raise ConfigError(f"num_envs: expected {algorithm.window} frames, a window, after a round, found {least}.")
    keys = seed_keys(seeds, stream=ONLINE_STREAM)
    with run.locked(), deferred_interrupts() as interrupted:
        states, replays, done, rows = _resume(run, algorithm, spec, seeds, states, replays)
        run.discard_after(done)
        each = [member(states, place) for place in range(len(seeds))]
        for number in range(done, rounds if stop_at is None else min(stop_at, rounds)):
            for place, seed in enumerate(seeds):
                play: Any = play_round if isinstance(task, PureTask) else play_simulated_round
                with enough_memory(*_round_memory(algorithm, settings)):
                    each[place], replays[place], stream, metrics = play(
                        algorithm, each[place], replays[place], jax.random.fold_in(keys[place], number),
                        task=task, settings=settings,
                    )  # fmt: skip
                rows.append(_row(rows, seed, number + 1, stream, metrics, updates=updates))
                _check_finite(rows[-1], each[place], run)
            if on_progress is not None and not interrupted():
                on_progress(number + 1, rounds)
            if (number + 1) % checkpoint_rounds == 0 or number + 1 in (rounds, stop_at) or interrupted():
                stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
                _save(run, number + 1, stacked, replays, rows)
            if interrupted():
                raise interrupted.error()
    return rows


@partial(jax.jit, static_argnames=("algorithm", "task", "settings"), donate_argnames=("replay",))
def play_round(
    algorithm: FineTunes,
    state: Any,
    replay: Replay,
    key: Key[Array, ""],
    *,
    task: PureTask,
    settings: FinetuneSettings,
) -> tuple[Any, Replay, RoundSteps, dict[str, Array]]:
    """One round in a pure environment: episodes, then updates.

    Args:
        algorithm: Algorithm that is fine-tuned.
        state: Training state of one seed.
        replay: Replay of the seed; donated.
        key: Random key of the seed and the round.
        task: Environment to act in.
        settings: Steps, environments, ratio of updates.

    Returns:
        (state, replay, transitions of the round, means of the metrics).
    """
    k_start, k_act, k_learn = jax.random.split(key, 3)
    stream = roll_out_stream(
        algorithm.policy(state), task, k_start, k_act, num_envs=settings.num_envs, steps=task.horizon
    )
    return _learn(algorithm, state, replay, stream, k_learn, settings=settings, horizon=task.horizon)


def play_simulated_round(
    algorithm: FineTunes,
    state: Any,
    replay: Replay,
    key: Key[Array, ""],
    *,
    task: OnlineSimulator,
    settings: FinetuneSettings,
) -> tuple[Any, Replay, RoundSteps, dict[str, Array]]:
    """One round in a simulator, whose environments step between calls of the policy; arguments as of `play_round`."""
    k_start, k_act, k_learn = jax.random.split(key, 3)
    stream = roll_out_envs(algorithm, state, task, k_start, k_act)
    return learn_round(algorithm, state, replay, stream, k_learn, settings=settings, horizon=task.horizon)


def _learn(
    algorithm: FineTunes,
    state: Any,
    replay: Replay,
    stream: Stream,
    key: Key[Array, ""],
    *,
    settings: FinetuneSettings,
    horizon: int,
) -> tuple[Any, Replay, RoundSteps, dict[str, Array]]:
    """What a round does with the episodes that it played."""
    replay = append(replay, stream)
    acting = algorithm.acting_metrics(state, stream.memory)
    episodes = stream.last.sum(1)
    state = algorithm.after_episodes(state, stream.cost.sum(1) / episodes, stream.cost.shape[1] / episodes)
    (phase,) = algorithm.phases
    windows = FrameWindows(replay.frames, algorithm.window)

    def one(state: Any, step_key: Key[Array, ""]) -> tuple[Any, dict[str, Array]]:
        k_rows, k_update = jax.random.split(step_key)
        rows = draw_windows(
            replay, k_rows, count=phase.batch_size, length=algorithm.window, online_share=settings.online_share
        )
        return algorithm.update(state, windows.take(rows), k_update, phase=phase.name)

    state, metrics = jax.lax.scan(one, state, jax.random.split(key, settings.updates(horizon)))
    played = RoundSteps(stream.reward, stream.cost, stream.last)
    return state, replay, played, acting | jax.tree.map(lambda values: values.mean(), metrics)


learn_round = jax.jit(_learn, static_argnames=("algorithm", "settings", "horizon"), donate_argnames=("replay",))


def _round_memory(algorithm: FineTunes, settings: FinetuneSettings) -> tuple[str, str]:
    """What a round needs memory for, and what to lower."""
    (phase,) = algorithm.phases
    work = f"a round of {settings.num_envs} environments and updates on batches of {phase.batch_size} windows"
    return work, "lower the batch size or the number of environments"


def _row(
    rows: list[dict[str, Any]], seed: int, number: int, played: RoundSteps, metrics: dict[str, Array], *, updates: int
) -> dict[str, Any]:
    """What a round was like, and the bill of all rounds so far: costs, violations, environment steps, and the cost
    regret, which is the cost of an episode of all so far (FOSP's page plots it so)."""
    before = next((row for row in reversed(rows) if row["seed"] == seed), None)
    found: Any = jax.tree.map(lambda leaf: np.asarray(leaf).reshape(-1), played)
    firsts = np.flatnonzero(np.concatenate([[True], found.last[:-1]]))
    returns = np.add.reduceat(found.reward.astype(np.float64), firsts)
    costs = np.add.reduceat(found.cost.astype(np.float64), firsts)
    totals = {
        "environment_steps": len(found.cost),
        "episodes": len(costs),
        "total_cost": float(costs.sum()),
        "violating_episodes": int((costs > 0).sum()),
        "violating_steps": int((found.cost > 0).sum()),
    }
    if before is not None:
        totals = {name: value + before[name] for name, value in totals.items()}
    return {
        "round": number,
        "seed": int(seed),
        "updates": number * updates,
        "return_mean": float(returns.mean()),
        "cost_mean": float(costs.mean()),
        "violating_share": float(np.mean(costs > 0)),
        **totals,
        "cost_regret": totals["total_cost"] / totals["episodes"],
        "metrics": {name: float(value) for name, value in metrics.items()},
    }


def _check_finite(row: dict[str, Any], state: Any, run: RunDirectory) -> None:
    finite = bool(all_finite(jax.tree.map(lambda leaf: leaf[None], state))[0])
    numbers = [row["return_mean"], row["cost_mean"], *row["metrics"].values()]
    if not finite or not np.isfinite(numbers).all():
        raise DivergenceError(
            f"fine-tuning diverged: seed {row['seed']} is not finite after round {row['round']}; "
            f"the last good checkpoint is kept in {run.checkpoints_path}."
        )


# --- checkpoints: the states as any run's, the new frames of the replay beside them ----------------------------------


def _replay_path(run: RunDirectory, number: int) -> Path:
    return run.path / REPLAY / f"{number:09d}"


def _save(run: RunDirectory, number: int, states: Any, replays: list[Replay], rows: list[dict[str, Any]]) -> None:
    """The replay and the log first, so that the states are never without them."""
    checkpoint.save(_replay_path(run, number), new_part(replays), {"round": number})
    write_whole(run.path / LOG, json_rows(rows))
    run.save_checkpoint(number, states, {**run.read_config().identity, "phase": "online"})
    there = {path.name for path in run.checkpoints()}
    for path in (run.path / REPLAY).iterdir():
        if path.name.isdecimal() and path.name not in there:
            checkpoint.remove(path)


def _resume(
    run: RunDirectory,
    algorithm: FineTunes,
    spec: DataSpec,
    seeds: Sequence[int],
    states: Any,
    replays: list[Replay],
) -> tuple[Any, list[Replay], int, list[dict[str, Any]]]:
    """States, replays, rounds done and log of the latest checkpoint; what came in where there is none."""
    latest = run.latest()
    if latest is None:
        return states, replays, 0, []
    template = state_template(algorithm, spec, seeds)
    states, metadata = checkpoint.load(latest, template, expect=run.read_config().identity_of(latest))
    number = checkpoint.step_of(latest, metadata)
    path = _replay_path(run, number)
    new, _ = checkpoint.load(path, jax.eval_shape(lambda: new_part(replays)), expect={"round": number})
    whole = [with_new_part(replay, part) for replay, part in zip(replays, new, strict=True)]
    log = run.path / LOG
    rows = read_round_rows(log, what=f"the log of {number} rounds", error=CheckpointError)
    return states, whole, number, [row for row in rows if row["round"] <= number]


class RoundRow(TypedDict):
    """One round of fine-tuning of one seed; rows have more fields."""

    round: int
    seed: int
    environment_steps: int
    episodes: int
    return_mean: float
    violating_share: float
    violating_episodes: int
    total_cost: float
    metrics: dict[str, float]


def read_round_rows(log: Path, *, what: str, error: type[SurefootError] = ConfigError) -> list[dict[str, Any]]:
    """Rows of a fine-tuning log.

    Args:
        log: The file `online.jsonl`.
        what: What the file is expected to hold, for errors.
        error: Kind of the error.

    Returns:
        The rows.

    Raises:
        SurefootError: The file does not hold such rows; of the kind `error`.
    """
    return read_rows(log, RoundRow, what=what, error=error, advice="resume the run")
