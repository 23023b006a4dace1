"""What training asks of an algorithm, and its hyper-parameters as JSON and back."""

import dataclasses
import types
import typing
from typing import Any, Protocol, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from surefoot.checkpoint import as_json
from surefoot.errors import ConfigError, FieldError
from surefoot.types import BEFORE, DataSpec, Metrics, Phase, Policy, Transition


class Algorithm(Protocol):
    """A frozen, hashable dataclass whose fields are the hyper-parameters, with pure methods over a state: a tree of
    arrays, all finite while training goes well.

    An algorithm whose values say where it is safe also has `feasible_value(state, observations [n, obs]) -> [n]`.
    One that learns from more than single transitions prepares a tree of its own with an array `starts` [M], and has
    `batch(data, rows [B]) -> batch`, pure, for rows drawn from 0, ..., M - 1: what `update` is given.
    """

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The stretches of training, in order."""
        ...

    def init(self, spec: DataSpec, key: Key[Array, ""]) -> Any:
        """The first state."""
        ...

    def update(self, state: Any, batch: Any, key: Key[Array, ""], *, phase: str) -> tuple[Any, Metrics]:
        """One gradient update on a batch [B, ...]; the same metrics in every update of a phase."""
        ...

    def sample_weights(self, state: Any, data: Any, *, phase: str) -> Float[Array, " N"] | None:
        """What each row's probability of being drawn is proportional to; None: all alike.

        Evaluated once, at the start of the phase, from the state at that moment, and again where a run resumes in the
        middle of the phase. So the parameters that it reads must stay frozen during the phase: then both are the same
        bits.
        """
        ...

    def policy(self, state: Any) -> Policy:
        """The policy of a state."""
        ...


@runtime_checkable
class Calibrates(Protocol):
    """An algorithm that takes more from the data than batches, such as their mean: it is kept in the state."""

    @property
    def calibrated_phases(self) -> tuple[str, ...]:
        """Names of the phases that begin with a calibration."""
        ...

    def calibrate(self, state: Any, data: Transition, *, phase: str) -> Any:
        """The state with what the phase takes from `data`, the training data or an even sample of them; pure.

        Called once, before the first update of the phase; a run that is resumed there or later ends with the same bits.
        """
        ...


@runtime_checkable
class Relabels(Protocol):
    """An algorithm whose updates regress on labels of all rows, which are functions of the data and of a part of the
    state that stays frozen in between. In such phases `update` is given `Labeled` batches."""

    def relabel_interval(self, phase: str) -> int:
        """Updates of the phase after which labels are renewed; 0: it has none."""
        ...

    def refreeze(self, state: Any, *, phase: str) -> Any:
        """The state with what labels depend on copied anew, which happens before the first update of each interval."""
        ...

    def labels(self, state: Any, data: Any, *, phase: str) -> Any:
        """A tree of arrays [N], of rows of the data in their order; computed for each interval, and again where a run
        resumes within one."""
        ...


def relabel_interval(algorithm: Any, phase: str) -> int:
    """Updates after which labels are renewed; 0 where the phase has none."""
    return algorithm.relabel_interval(phase) if isinstance(algorithm, Relabels) else 0


def is_calibrated(algorithm: Any, phase: str) -> bool:
    """Whether a phase begins with a calibration."""
    return isinstance(algorithm, Calibrates) and phase in algorithm.calibrated_phases


def rows_of(data: Any) -> int:
    """How many rows may be drawn from the data: transitions, or the starts of windows."""
    return data.reward.shape[0] if isinstance(data, Transition) else data.starts.shape[0]


def learns_from_windows(algorithm: Any) -> bool:
    """Whether the algorithm learns from more than single transitions, and so has a `batch`."""
    return hasattr(algorithm, "batch")


def take_batch(algorithm: Any, data: Any, rows: Int[Array, " B"]) -> Any:
    """These rows of the data, as the algorithm's `update` takes them."""
    if learns_from_windows(algorithm):
        return algorithm.batch(data, rows)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf)[rows], data)


def hyperparameters(algorithm: Any) -> dict[str, Any]:
    """The fields of an algorithm as JSON values."""
    return as_json(dataclasses.asdict(algorithm))


T = TypeVar("T")


def from_hyperparameters(kind: type[T], values: dict[str, Any], *, source: str) -> T:
    """The algorithm whose fields are `values`, as `hyperparameters` wrote them; `source` names their file in errors.

    Every field must be there and no other: a default that changed since must not change an old run. A field that was
    added later says what it is then (`BEFORE`). `ConfigError`.
    """
    declared = [field for field in dataclasses.fields(typing.cast(Any, kind)) if field.init]
    fields = [field.name for field in declared]
    values = {field.name: field.metadata[BEFORE] for field in declared if BEFORE in field.metadata} | values
    if missing := [name for name in fields if name not in values]:
        raise ConfigError(f"{source}: hyperparameter '{missing[0]}': expected a value, found none.")
    if extra := [name for name in values if name not in fields]:
        raise ConfigError(f"{source}: hyperparameter '{extra[0]}': {kind.__name__} has no such field.")
    hints = typing.get_type_hints(kind)  # without ranges
    found = {name: _from_json(hints[name], values[name], source=source) for name in fields}
    try:
        return kind(**found)
    except FieldError as error:
        raise ConfigError(f"{source}: {error}") from error


def _from_json(hint: Any, value: Any, *, source: str) -> Any:
    """JSON's lists as tuples (an algorithm is hashable), and dictionaries as the dataclass that the field declares."""
    if isinstance(value, list):
        inner = [argument for argument in typing.get_args(hint) if argument is not Ellipsis]
        return tuple(_from_json(inner[0] if len(inner) == 1 else None, item, source=source) for item in value)
    if isinstance(value, dict):
        for option in typing.get_args(hint) if _is_union(hint) else (hint,):
            if dataclasses.is_dataclass(option):
                return from_hyperparameters(typing.cast(type[Any], option), value, source=source)
    return value


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)
