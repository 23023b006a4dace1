"""Evaluation protocols of the field: an episode's return and cost as scores, and what many episodes say together.

strict (FISOR): one small cost limit a task, 10 for navigation and velocity tasks, 5 for the others. dsrl (Liu et al.,
2024, arXiv 2306.09303): the benchmark's three limits, results averaged over them. No present policy is told its limit,
so the same episodes are scored against each.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from surefoot.errors import ConfigError, DataError
from surefoot.evaluation.metrics import (
    check_number,
    conditional_value_at_risk,
    interquartile_mean,
    mean_interval,
    wilson_interval,
)
from surefoot.evaluation.simulated import Episode, episode_seed
from surefoot.tasks import Task

ProtocolName = Literal["strict", "dsrl"]
NUMBERS = ("seed", "episode", "limit", "return", "cost", "length", "normalised_return", "normalised_cost")
"""Columns that `summarise_protocol` reads as numbers."""
METHOD = ("task", "algorithm", "data", "extraction", "protocol")
"""Columns that tell methods apart; `summarise_protocol` never pools two."""


def cost_limits(task: Task, protocol: ProtocolName) -> tuple[float, ...]:
    """The limits on an episode's cost. Raises `ConfigError` where the task has none in this protocol."""
    limits = (task.cost_limit,) if protocol == "strict" else task.dsrl_cost_limits
    if not limits:
        raise ConfigError(f"--protocol {protocol}: task {task.name} is not in it; use --protocol strict.")
    return limits


def normalised_return(value: float, task: Task) -> float:
    """(R - R_min) / (R_max - R_min): 0 and 1 at the task's reference returns."""
    return (value - task.return_min) / (task.return_max - task.return_min)


def normalised_cost(value: float, limit: float) -> float:
    """(C + e) / (kappa + e), e = 1 only if kappa = 0: at most 1 is safe."""
    extra = 1.0 if limit == 0 else 0.0
    return (value + extra) / (limit + extra)


def protocol_rows(
    episodes: Sequence[Episode], task: Task, *, protocol: ProtocolName, method: Mapping[str, str]
) -> list[dict[str, Any]]:
    """One JSON-ready row for each episode and limit; `method` holds algorithm, data and extraction."""
    return [
        {
            "task": task.name,
            **method,
            "protocol": protocol,
            "limit": limit,
            "seed": one.seed,
            "episode": one.episode,
            "simulator_seed": episode_seed(one.episode),
            "return": one.episode_return,
            "cost": one.cost,
            "length": one.length,
            "normalised_return": normalised_return(one.episode_return, task),
            "normalised_cost": normalised_cost(one.cost, limit),
            "terminated": one.terminated,
            "restarts": one.restarts,
        }
        for limit in cost_limits(task, protocol)
        for one in episodes
    ]


def summarise_protocol(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the rows of one method say, as JSON values.

    Means are over all episodes; "normalised_cost_mean" and "episode_safe_rate" also over the limits, each of which has
    its own record in "limits". An episode is safe where its normalised cost is at most 1, a seed where the mean over
    its episodes is. Intervals are 95 %: Wilson's for shares, stratified bootstrap over episodes for means and
    interquartile means, None where a seed has one episode. `DataError` on no rows, a missing or non-finite value, an
    episode twice, or rows of several methods.
    """
    _check(rows)
    limits = list(dict.fromkeys(row["limit"] for row in rows))
    # What an episode is like does not depend on the limit that it is scored against.
    once = [row for row in rows if row["limit"] == limits[0]]
    seeds = sorted({int(row["seed"]) for row in once})
    records = [_limit_figures([row for row in rows if row["limit"] == limit], seeds, limit) for limit in limits]
    zero = sum(row["cost"] == 0 for row in once)
    averaged = {
        name: float(np.mean([record[name] for record in records]))
        for name in ("normalised_cost_mean", "normalised_cost_iqm", "episode_safe_rate", "seed_safe_rate")
    }
    return {
        "protocol": rows[0]["protocol"],
        "episodes": len(once),
        "seeds": seeds,
        "return_mean": float(np.mean([row["return"] for row in once])),
        **_mean_and_iqm(once, "normalised_return", seeds),
        "cost_mean": float(np.mean([row["cost"] for row in once])),
        "cost_cvar": conditional_value_at_risk([row["cost"] for row in once]),
        "length_mean": float(np.mean([row["length"] for row in once])),
        "zero_cost_rate": zero / len(once),
        "zero_cost_interval": list(wilson_interval(zero, len(once))),
        **averaged,
        "safe": averaged["normalised_cost_mean"] <= 1.0,
        "limits": records,
        "restarts": int(sum(row.get("restarts", 0) for row in once)),
    }


def _limit_figures(rows: Sequence[Mapping[str, Any]], seeds: Sequence[int], limit: float) -> dict[str, Any]:
    safe = sum(row["normalised_cost"] <= 1 for row in rows)
    costs = _mean_and_iqm(rows, "normalised_cost", seeds)
    safe_seeds = sum(mean <= 1 for mean in costs["normalised_cost_per_seed"])
    return {
        "limit": limit,
        **costs,
        "episode_safe_rate": safe / len(rows),
        "episode_safe_interval": list(wilson_interval(safe, len(rows))),
        "episode_safe_rate_per_seed": [
            float(np.mean([row["normalised_cost"] <= 1 for row in rows if row["seed"] == seed])) for seed in seeds
        ],
        "seed_safe_rate": safe_seeds / len(seeds),
        "seed_safe_interval": list(wilson_interval(safe_seeds, len(seeds))),
    }


def _mean_and_iqm(rows: Sequence[Mapping[str, Any]], column: str, seeds: Sequence[int]) -> dict[str, Any]:
    """Mean and interquartile mean with their intervals, and the mean of each seed."""
    by_seed = [[row[column] for row in rows if row["seed"] == seed] for seed in seeds]
    values = [row[column] for row in rows]
    return {
        f"{column}_mean": float(np.mean(values)),
        f"{column}_interval": mean_interval(by_seed),
        f"{column}_iqm": interquartile_mean(values),
        f"{column}_iqm_interval": mean_interval(by_seed, interquartile_mean),
        f"{column}_per_seed": [float(np.mean(part)) for part in by_seed],
    }


def _check(rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        raise DataError("evaluation rows: expected at least one episode, found none.")
    seen = set()
    for index, row in enumerate(rows):
        for column in NUMBERS:
            check_number(row, column, index)
        if (key := (row["limit"], row["seed"], row["episode"])) in seen:
            raise DataError(f"evaluation rows: expected episode {key[2]} of seed {key[1]} once, found it twice.")
        seen.add(key)
    for column in METHOD:
        if len(found := sorted({str(row.get(column)) for row in rows})) > 1:
            raise DataError(f"evaluation rows: key '{column}': expected a single one, found {', '.join(found)}.")
