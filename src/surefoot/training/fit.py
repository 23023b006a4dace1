"""Training: compiled chunks, with logs, checkpoints and exact resumption between them."""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import jax
import numpy as np
from jax.sharding import Mesh

from surefoot import checkpoint
from surefoot.data import FrameStream, TransitionStream
from surefoot.errors import DivergenceError
from surefoot.interrupts import Interruption, deferred_interrupts
from surefoot.numerics import enough_memory, pinned
from surefoot.protocols import Algorithm, is_calibrated, relabel_interval
from surefoot.training.agreement import check_arguments, check_config
from surefoot.training.chunk import (
    all_finite,
    batch_mesh,
    calibrated,
    init_states,
    refrozen,
    replicate,
    run_chunk,
    seed_mesh,
    state_template,
)
from surefoot.training.feed import Feed, ResidentFeed, StreamedFeed
from surefoot.training.metrics_log import MetricsLog, SeedMetrics
from surefoot.training.run_directory import RunDirectory
from surefoot.training.second_place import SecondPlace
from surefoot.types import DataSpec

Share = Literal["seeds", "batches"]
"""What several devices share: seeds, so that each trains some of them; or batches, for few seeds of large networks."""


@dataclass(frozen=True)
class Progress:
    """Progress of training, reported as a phase starts (it then compiles) and after every chunk.

    While the sampling weights of a phase over data in a file are computed, which takes minutes for many gigabytes,
    `unit` is "rows", and `done`, `total` and the rate count rows.
    """

    phase: str
    done: int
    """Updates done, over all phases."""
    total: int
    """Updates in all."""
    updates_per_second: float | None
    """Rate of this phase without compilation; None before its first chunk. One update is one of every seed."""
    seconds_remaining: float | None
    """Time that is left if later phases' updates take as long as this one's."""
    metrics: SeedMetrics
    """Latest means, one number a seed; empty as a phase starts."""
    unit: Literal["updates", "rows"] = "updates"


class MetricLogger(Protocol):
    """Another place to send metrics to, such as `WandbLogger`. The first exception it raises becomes a warning and ends
    it."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Send metrics.

        Args:
            step: Updates done.
            metrics: Values by name, such as "seed_0/critic/loss".
        """
        ...


@pinned()
def fit(
    algorithm: Algorithm,
    data: Any,
    *,
    spec: DataSpec,
    seeds: Sequence[int],
    log_interval: int,
    checkpoint_interval: int,
    run: RunDirectory | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    stop_at: int | None = None,
    loggers: Sequence[MetricLogger] = (),
    share: Share = "seeds",
) -> Any:
    """Train an algorithm for all seeds at once.

    A phase is cut into chunks of `log_interval` updates. Logs, checkpoints and stops lie between chunks, so that an
    interrupted run goes through the same compiled programs as an uninterrupted one and ends with the same bits.
    Training goes on from the run's latest checkpoint.

    The first Ctrl-C, SIGTERM or SIGHUP stops after the current chunk, with a checkpoint, and raises `KeyboardInterrupt`
    (`Stopped`, its subclass); the second stops at once.

    Args:
        algorithm: Algorithm to train.
        data: What its `prepare` returned, in memory (NumPy), or a `TransitionStream` or `FrameStream`, which stays in
            its file.
        spec: Shapes of the data.
        seeds: Seeds S, different whole numbers in [0, 2^31).
        log_interval: Updates between rows of metrics.
        checkpoint_interval: Updates between checkpoints, which are written at the end of a chunk, and at the end of
            each phase.
        run: Folder for logs and checkpoints, whose `start` was called; None: nothing is written.
        on_progress: Called as a phase starts and after every chunk.
        stop_at: Update at whose chunk's end training stops; None: the last.
        loggers: Other places for metrics.
        share: What several devices share: seeds, or every batch.

    Returns:
        States of all seeds, a tree of arrays with a leading seed axis.

    Raises:
        DivergenceError: A metric or a state is not finite; that state is not saved.
        ConfigError: The folder holds another run, or an argument cannot be used.
        CheckpointError: The folder's checkpoint cannot be resumed from.
        DataError: The data do not fit `spec`.
    """
    check_arguments(data, spec, seeds, log_interval, checkpoint_interval, stop_at)
    training = _Training(algorithm, tuple(seeds), run, log_interval, checkpoint_interval, on_progress, tuple(loggers))
    with ExitStack() as stack:
        mesh = seed_mesh(seeds) if share == "seeds" else batch_mesh(algorithm)
        make_feed: Any = StreamedFeed if isinstance(data, TransitionStream | FrameStream) else ResidentFeed
        with enough_memory(f"{_some(seeds)} beside the data", "train fewer seeds at once, or leave data in their file"):
            states = replicate(training.begin(spec, data.statistics, stack), mesh)
            feed = make_feed(algorithm, data, seeds=tuple(seeds), mesh=mesh)
        # A `KeyboardInterrupt` in the middle of a chunk would lose the donated states.
        interrupted = stack.enter_context(deferred_interrupts())
        end = training.total if stop_at is None else min(stop_at, training.total)
        while training.step < end:
            with training.enough_memory():
                states = training.run_phase(states, feed, mesh, end, interrupted)
        if interrupted():  # after the last chunk, whose state is saved
            raise interrupted.error()
    return states


@dataclass
class _Training:
    """One call of `fit`: what it was given, and how far it is."""

    algorithm: Algorithm
    seeds: tuple[int, ...]
    run: RunDirectory | None
    log_interval: int
    checkpoint_interval: int
    on_progress: Callable[[Progress], None] | None
    loggers: tuple[MetricLogger, ...]
    step: int = 0
    saved: int = 0
    kept: Path | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    log: MetricsLog | None = None
    places: list[SecondPlace] = field(init=False)

    def __post_init__(self) -> None:
        self.places = [SecondPlace(type(logger).__name__) for logger in self.loggers]

    @property
    def total(self) -> int:
        return sum(phase.updates for phase in self.algorithm.phases)

    def begin(self, spec: DataSpec, statistics: Any, stack: ExitStack) -> Any:
        """The states to start from: the latest checkpoint's or new ones. Opens the logs for as long as `stack` is."""
        if self.run is None:
            return init_states(self.algorithm, spec, self.seeds, statistics)
        config = self.run.read_config()
        check_config(self.run, config.identity, self.algorithm, self.seeds)
        self.metadata = config.identity
        stack.enter_context(self.run.locked())
        self.kept = self.run.latest()
        if self.kept is None:
            states = init_states(self.algorithm, spec, self.seeds, statistics)
        else:
            template = state_template(self.algorithm, spec, self.seeds)
            states, metadata = checkpoint.load(self.kept, template, expect=config.identity_of(self.kept))
            self.step = self.saved = checkpoint.step_of(self.kept, metadata)
        self.run.discard_after(self.step)
        self.log = stack.enter_context(MetricsLog(self.run, self.seeds, step=self.step))
        return states

    def run_phase(self, states: Any, feed: Feed, mesh: Mesh, end: int, interrupted: Interruption) -> Any:
        """Train from `self.step` to the end of its phase, or to the first chunk's end at or after `end`."""
        index, start = self._phase_at(self.step)
        phase = self.algorithm.phases[index]
        self._report(phase.name, None, {})
        if self.step == start and is_calibrated(self.algorithm, phase.name):
            kind: Any = self.algorithm
            states = replicate(calibrated(kind, states, feed.sample(), phase=phase.name), mesh)
        feed.start_phase(states, index, self._rows_done(phase.name))
        chunk = _CompiledChunks(self.algorithm, mesh, index)
        first_step = self.step
        while self.step < min(end, start + phase.updates):
            done = self.step - start
            length = min(self.log_interval - done % self.log_interval, phase.updates - done)
            states, metrics = chunk.run(states, feed, first=done, length=length)
            self._check_metrics(metrics, phase.name, length)
            self.step += length
            self._write_metrics(phase.name, metrics)
            if self._checkpoint_due(start + phase.updates, end):
                self._save(states, phase.name)
            try:
                if not interrupted():  # whoever is told may be gone with the terminal
                    self._report(phase.name, (self.step - first_step) / chunk.seconds, metrics)
                if interrupted():
                    raise interrupted.error()
            except KeyboardInterrupt:
                self._save(states, phase.name)
                raise
        return states

    def enough_memory(self) -> AbstractContextManager[None]:
        """Memory that runs out in the phase at hand is a sentence."""
        phase = self.algorithm.phases[self._phase_at(self.step)[0]]
        work = f"training {_some(self.seeds)} on batches of {phase.batch_size} (phase '{phase.name}')"
        ways = "lower the batch size or the networks' width, train fewer seeds at once, or leave data in their file"
        return enough_memory(work, ways)

    def _phase_at(self, step: int) -> tuple[int, int]:
        """The phase that update `step` belongs to, and the step at which it starts."""
        start = 0
        for index, phase in enumerate(self.algorithm.phases):
            if step < start + phase.updates:
                return index, start
            start += phase.updates
        raise AssertionError(f"update {step} of {start}")

    def _checkpoint_due(self, phase_end: int, end: int) -> bool:
        interval = self.checkpoint_interval
        return self.step >= min(phase_end, end) or self.step // interval > self.saved // interval

    def _save(self, states: Any, phase: str) -> None:
        if self.run is None or self.log is None or self.saved == self.step:
            return
        finite = np.asarray(all_finite(states))
        if not finite.all():
            seed = self.seeds[int((~finite).argmax())]
            raise DivergenceError(
                f"training diverged: the state of seed {seed} is not finite after update {self.step} "
                f"(phase '{phase}'); {self._kept_sentence()}."
            )
        self.log.sync()
        self.kept = self.run.save_checkpoint(self.step, states, {**self.metadata, "phase": phase})
        self.saved = self.step

    def _check_metrics(self, metrics: SeedMetrics, phase: str, length: int) -> None:
        for name, values in metrics.items():
            wrong = ~np.isfinite(values)
            if wrong.any():
                index = int(wrong.argmax())
                raise DivergenceError(
                    f"training diverged: metric '{name}' of seed {self.seeds[index]} became {values[index]} in updates "
                    f"{self.step + 1} to {self.step + length} (phase '{phase}'); {self._kept_sentence()}."
                )

    def _kept_sentence(self) -> str:
        if self.kept is None:
            return "no checkpoint had been written"
        return f"the last good checkpoint is kept in {self.kept}"

    def _write_metrics(self, phase: str, metrics: SeedMetrics) -> None:
        if self.log is not None:
            self.log.write(self.step, phase, metrics)
        flat = {
            f"seed_{seed}/{name}": float(values[index])
            for index, seed in enumerate(self.seeds)
            for name, values in metrics.items()
        }
        for logger, place in zip(self.loggers, self.places, strict=True):
            place.attempt(lambda logger=logger: logger.log(self.step, flat))

    def _report(self, phase: str, rate: float | None, metrics: SeedMetrics) -> None:
        if self.on_progress is not None:
            remaining = None if rate is None else (self.total - self.step) / rate
            self.on_progress(Progress(phase, self.step, self.total, rate, remaining, metrics))

    def _rows_done(self, phase: str) -> Callable[[int, int], None]:
        began = time.perf_counter()

        def report(done: int, total: int) -> None:
            rate = done / (time.perf_counter() - began)
            if self.on_progress is not None:
                self.on_progress(Progress(f"{phase}, weights", done, total, rate, (total - done) / rate, {}, "rows"))

        return report


@dataclass
class _CompiledChunks:
    """The compiled programs of a phase, one for each length, and the seconds that they ran."""

    algorithm: Algorithm
    mesh: Mesh
    phase_index: int
    seconds: float = 0.0
    programs: dict[int, Any] = field(default_factory=dict)

    def run(self, states: Any, feed: Feed, *, first: int, length: int) -> tuple[Any, dict[str, np.ndarray]]:
        """The states after `length` updates, and the mean of every metric over them, one number a seed."""
        means: dict[str, list[np.ndarray]] = {}
        parts, began = [], time.perf_counter()
        phase: Any = self.algorithm.phases[self.phase_index].name
        interval = relabel_interval(self.algorithm, phase)
        for start, stop in _stretches(first, length, interval):
            if interval and start % interval == 0:
                kind: Any = self.algorithm
                states = replicate(refrozen(kind, states, phase=phase), self.mesh)
            if interval and (start % interval == 0 or not self.programs):  # a resumed run has labels to compute again
                feed.relabel(states)
            for part, inputs in feed.pieces(start, stop - start):
                if part not in self.programs:
                    compiling = time.perf_counter()
                    options: Any = {"mesh": self.mesh, "phase_index": self.phase_index, "length": part}
                    self.programs[part] = run_chunk.lower(self.algorithm, states, **inputs, **options).compile()
                    began += time.perf_counter() - compiling  # a rate that counted it would promise too little
                states, found = self.programs[part](states, **inputs)
                parts.append(part)
                for name, values in jax.device_get(found).items():
                    means.setdefault(name, []).append(np.asarray(values))
        self.seconds += time.perf_counter() - began
        if len(parts) == 1:
            return states, {name: values[0] for name, values in means.items()}
        return states, {name: np.average(values, axis=0, weights=parts) for name, values in means.items()}


def _stretches(first: int, length: int, interval: int) -> list[tuple[int, int]]:
    """The updates first, ..., first + length - 1, cut where labels are renewed."""
    end = first + length
    cuts = range(first + interval - first % interval, end, interval) if interval else range(0)
    return list(itertools.pairwise([first, *cuts, end]))


def _some(seeds: Sequence[int]) -> str:
    return "1 seed" if len(seeds) == 1 else f"{len(seeds)} seeds"
