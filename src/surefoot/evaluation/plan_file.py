"""File of a planner's observations and plans in one episode under several budgets, for the report's figure."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from surefoot.data.npz_files import Field
from surefoot.errors import ConfigError
from surefoot.evaluation.lanes import Watched
from surefoot.runs.files import read_arrays, write_arrays

FIELDS = {
    "setting": Field("U", ()),
    "episode": Field("iu", (), optional=True),  # not in older files
    "asked": Field("U", ("lanes",)),
    "observations": Field("f", ("steps", "lanes", "numbers")),
    "plans": Field("f", ("steps", "lanes", "horizon", "numbers"), optional=True),
}
"""Arrays of the file."""


@dataclass(frozen=True, eq=False)
class Imaginings:
    """Observations and plans of one episode of the first seed."""

    setting: str
    """Setting of its evaluation."""
    episode: int
    asked: tuple[str, ...]
    """Names of the budgets."""
    watched: Watched
    """One environment for each budget."""


def add_plans(path: Path, new: Imaginings) -> None:
    """Write plans into the file, beside those of the same episode and setting under other budgets; other content is
    replaced.

    Args:
        path: The file.
        new: Observations and plans.
    """
    with suppress(ConfigError):
        old = read_plans(path)
        kept = [lane for lane, asked in enumerate(old.asked) if asked not in new.asked]
        if (old.setting, old.episode) == (new.setting, new.episode) and kept:
            new = _beside(old, kept, new)
    arrays: dict[str, Any] = {
        "setting": np.array(new.setting),
        "episode": np.array(new.episode),
        "asked": np.array(new.asked),
        "observations": new.watched.observations,
    }
    if new.watched.plans is not None:
        arrays["plans"] = new.watched.plans.astype(np.float16)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_arrays(path, arrays)


def read_plans(path: Path) -> Imaginings:
    """The plans in a file. Raises `ConfigError` where there is none, or it has another form."""
    arrays = read_arrays(path, FIELDS, what="plans")
    if not arrays:
        raise ConfigError(f"{path}: expected plans, found no file; evaluate again.")
    return Imaginings(
        setting=str(arrays["setting"]),
        episode=int(arrays.get("episode", 0)),  # not in older files
        asked=tuple(str(name) for name in arrays["asked"]),
        watched=Watched(arrays["observations"], arrays["plans"].astype(np.float32) if "plans" in arrays else None),
    )


def _beside(old: Imaginings, lanes: Sequence[int], new: Imaginings) -> Imaginings:
    longest = max(len(old.watched.observations), len(new.watched.observations))

    def lengthened(steps: Float[np.ndarray, "t ..."]) -> Float[np.ndarray, "t ..."]:
        after = [(0, longest - len(steps)), *[(0, 0)] * (steps.ndim - 1)]
        return np.pad(steps, after, constant_values=np.nan)

    def both(a: Any, b: Any) -> Any:
        return None if a is None or b is None else np.concatenate([lengthened(a)[:, lanes], lengthened(b)], axis=1)

    watched = Watched(*(both(*pair) for pair in zip(old.watched, new.watched, strict=True)))
    return Imaginings(new.setting, new.episode, (*(old.asked[lane] for lane in lanes), *new.asked), watched)
