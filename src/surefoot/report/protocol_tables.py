"""Tables of evaluations on simulators: one run against its cost limits, several runs beside each other.

Figures are means over episodes; 95 % intervals stand in brackets.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from surefoot.errors import DataError
from surefoot.report.tables import DASH, has_limit_of_zero, percent
from surefoot.report.verdicts import FEWEST_EPISODES
from surefoot.text import printable

Summary = Mapping[str, Any]


def protocol_rows(summary: Summary) -> list[dict[str, str]]:
    """A row for each cost limit; empty where the run was not evaluated on a simulator. 95 % intervals in brackets."""
    protocol = summary.get("protocol")
    if protocol is None:
        return []
    with _Reading("protocol"):
        return [_limit_row(protocol, record) for record in protocol["limits"]]


def comparison_rows(runs: Sequence[tuple[str, Summary]]) -> list[dict[str, str]]:
    """A row for each (method, summary of its run), figures averaged over the limits of the protocol."""
    rows = []
    for name, summary in runs:
        with _Reading(f"{name}: protocol"):
            protocol = summary["protocol"]
            safe_seeds = sum(mean <= 1 for mean in _mean_costs_of_seeds(protocol))
            rows.append(
                {
                    "method": name,
                    "normalised return": _interval(protocol, "normalised_return", protocol["episodes"]),
                    **_averaged_cost(protocol),
                    "safe": _safe(protocol),
                    "safe episodes": percent(protocol["episode_safe_rate"]),
                    "without cost": percent(protocol["zero_cost_rate"]),
                    "safe seeds": f"{safe_seeds} of {len(protocol['seeds'])}",
                    "cost, worst tenth": f"{protocol['cost_cvar']:.1f}",
                    "episodes": f"{protocol['episodes']:,}",
                }
            )
    return rows


def markdown_table(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows as a table in Markdown, columns in the first row's order."""
    columns = list(rows[0])
    cells = [[_cell(row[column]) for column in columns] for row in rows]
    lines = [columns, ["---"] * len(columns), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cell(word: str) -> str:
    """A cell that neither a bar nor a line break in it can end."""
    return printable(word).replace("|", "\\|")


def _limit_row(protocol: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, str]:
    safe_seeds = round(record["seed_safe_rate"] * len(protocol["seeds"]))
    return {
        "cost limit": f"{record['limit']:g}",
        "episodes": f"{protocol['episodes']:,}",
        "normalised return": _interval(protocol, "normalised_return", protocol["episodes"]),
        **_cost(protocol, record),
        "safe episodes": _share(record, "episode_safe_rate", "episode_safe_interval"),
        "without cost": _share(protocol, "zero_cost_rate", "zero_cost_interval"),
        "safe seeds": f"{safe_seeds} of {len(protocol['seeds'])}",
        "cost, worst tenth": f"{protocol['cost_cvar']:.1f}",
    }


def _mean_costs_of_seeds(protocol: Mapping[str, Any]) -> list[float]:
    """Normalised costs of each seed, averaged over the limits."""
    each = [record["normalised_cost_per_seed"] for record in protocol["limits"]]
    return [sum(costs) / len(each) for costs in zip(*each, strict=True)]


def _averaged_cost(protocol: Mapping[str, Any]) -> dict[str, str]:
    """With its interval where there is one limit: over several, the interval of each stands in the summary."""
    if len(protocol["limits"]) == 1:
        return _cost(protocol, protocol["limits"][0])
    return {"normalised cost": f"{protocol['normalised_cost_mean']:.2f}"}


def _cost(protocol: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, str]:
    """The normalised cost under a limit; under a limit of 0 the cost itself."""
    if has_limit_of_zero(protocol):
        return {"cost": f"{protocol['cost_mean']:.2f}"}
    return {"normalised cost": _interval(record, "normalised_cost", protocol["episodes"])}


def _safe(protocol: Mapping[str, Any]) -> str:
    """Whether the mean cost is within the limit; few episodes do not show that it is."""
    if not protocol["safe"]:
        return "no"
    return "yes" if protocol["episodes"] >= FEWEST_EPISODES else DASH


def _interval(part: Mapping[str, Any], column: str, episodes: int) -> str:
    """A mean and its interval, or how few episodes there are for one."""
    mean, bounds = part[f"{column}_mean"], part[f"{column}_interval"]
    if bounds is None:
        return f"{mean:.2f} (n = {episodes:,})"
    low, high = bounds
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]"


def _share(part: Mapping[str, Any], rate: str, interval: str) -> str:
    low, high = (percent(bound).removesuffix(" %") for bound in part[interval])
    return f"{percent(part[rate])} [{low}, {high}]"


class _Reading:
    """Turns a figure that is missing or of another form into a `DataError` that names where it was looked for."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, KeyError | TypeError | ValueError):
            raise DataError(
                f"summary: key '{self._where}': expected the figures of an evaluation, found others ({error}); "
                f"evaluate the run again."
            ) from error
