"""Table rows of a run's summary (start sets, cost limits, budgets), and of several runs beside each other.

Figures are means over episodes; 95 % intervals stand in brackets.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from surefoot.report.key_figures import has_limit_of_zero
from surefoot.report.reading import mapping_of, number_of, numbers_of, reading
from surefoot.report.tables import DASH, bracketed, bracketed_share, over_seeds, percent
from surefoot.report.verdicts import FEWEST_EPISODES

Summary = Mapping[str, Any]
_STARTS = {"data": "the data's episodes", "infeasible": "infeasible starts (no way out)"}


def evaluation_rows(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    """A table row for each evaluated start set, and one for the data; empty without such an evaluation.

    The worst tenth of the episodes is the one of the largest costs.
    """
    rows = []
    evaluation = mapping_of(summary, "evaluation")
    for name, part in evaluation.items():
        if name == "fixed" or not isinstance(part, Mapping):
            continue
        each = mapping_of(part, "per_seed", f"evaluation.{name}")
        row = {"starts": _STARTS.get(name, f"{name} starts")}
        row |= {"episodes": f"{part['episodes']:,}" if isinstance(part.get("episodes"), int) else DASH}
        where = f"evaluation.{name}"
        row["violation-free [95 %]"] = _with_interval(
            part, where, "violation_free_rate", "violation_free_interval", percent
        )
        row["of the seeds"] = over_seeds(each.get("violation_free_rate"), percent) or DASH
        row["return [95 %]"] = _with_interval(part, where, "return_mean", "return_interval", "{:.2f}".format)
        row["return of the seeds"] = over_seeds(each.get("return_mean"), "{:.2f}".format) or DASH
        row["violating steps"] = _or_dash(number_of(part, "violating_steps_mean", where), "{:.2f}".format)
        row["cost, worst tenth"] = _or_dash(number_of(part, "cost_cvar", where), "{:.1f}".format)
        row["goal reached"] = _or_dash(number_of(part, "goal_rate", where), percent)
        rows.append(row)
    return rows


def _with_interval(part: Mapping[str, Any], where: str, key: str, interval: str, form: Callable[[float], str]) -> str:
    """A figure and its interval in brackets, whose bounds share the figure's unit; else the number of episodes."""
    text = _or_dash(number_of(part, key, where), form)
    bounds = numbers_of(part, interval, where)
    if bounds:
        return f"{text} [{', '.join(form(bound).removesuffix(' %') for bound in bounds)}]"
    episodes = part.get("episodes")
    return f"{text} (n = {episodes:,})" if interval in part and isinstance(episodes, int) else text


def _or_dash(value: float | None, form: Callable[[float], str]) -> str:
    return DASH if value is None else form(value)


def protocol_rows(summary: Summary) -> list[dict[str, str]]:
    """A table row for each cost limit; empty where the run was not evaluated by a protocol."""
    protocol = summary.get("protocol")
    if protocol is None:
        return []
    with reading("protocol"):
        return [_limit_row(protocol, record) for record in protocol["limits"]]


def comparison_rows(runs: Sequence[tuple[str, Summary]]) -> list[dict[str, str]]:
    """A table row for each run, with figures averaged over the limits of the protocol.

    Args:
        runs: (method, summary of its run).

    Returns:
        The rows.
    """
    rows = []
    limits_known = all("limit_use" in mapping_of(summary, "protocol") for _, summary in runs)
    for name, summary in runs:
        with reading(f"{name}: protocol"):
            protocol = summary["protocol"]
            safe_seeds = sum(mean <= 1 for mean in _mean_costs_of_seeds(protocol))
            rows.append(
                {
                    "method": name,
                    **({"limit is": protocol["limit_use"]} if limits_known else {}),
                    "normalised return": _mean(protocol, "normalised_return", protocol["episodes"]),
                    "return of the seeds": over_seeds(protocol.get("normalised_return_per_seed"), "{:.2f}".format),
                    **_averaged_cost(protocol),
                    **_costs_of_seeds(protocol),
                    "safe": _safe(protocol),
                    "safe episodes": percent(protocol["episode_safe_rate"]),
                    "without cost": percent(protocol["zero_cost_rate"]),
                    "safe seeds": f"{safe_seeds} of {len(protocol['seeds'])}",
                    "cost, worst tenth": f"{protocol['cost_cvar']:.1f}",
                    "episodes": f"{protocol['episodes']:,}",
                }
            )
    return rows


def _limit_row(protocol: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, str]:
    safe_seeds = round(record["seed_safe_rate"] * len(protocol["seeds"]))
    costs = record.get("normalised_cost_per_seed")
    return {
        "cost limit": f"{record['limit']:g}",
        **({"limit is": protocol["limit_use"]} if "limit_use" in protocol else {}),
        "episodes": f"{protocol['episodes']:,}",
        "normalised return": _mean(protocol, "normalised_return", protocol["episodes"]),
        "return of the seeds": over_seeds(protocol.get("normalised_return_per_seed"), "{:.2f}".format),
        **_cost(protocol, record),
        **({} if has_limit_of_zero(protocol) else {"cost of the seeds": over_seeds(costs, "{:.2f}".format)}),
        "safe episodes": _share(record, "episode_safe"),
        "without cost": _share(protocol, "zero_cost"),
        "safe seeds": f"{safe_seeds} of {len(protocol['seeds'])}",
        "cost, worst tenth": f"{protocol['cost_cvar']:.1f}",
    }


def _mean_costs_of_seeds(protocol: Mapping[str, Any]) -> list[float]:
    """Normalised costs of each seed, averaged over the limits."""
    each = [record["normalised_cost_per_seed"] for record in protocol["limits"]]
    return [sum(costs) / len(each) for costs in zip(*each, strict=True)]


def _costs_of_seeds(protocol: Mapping[str, Any]) -> dict[str, str]:
    """From the lowest to the highest seed; left out under a limit of 0, where the cost itself is shown."""
    if has_limit_of_zero(protocol):
        return {}
    return {"cost of the seeds": over_seeds(_mean_costs_of_seeds(protocol), "{:.2f}".format)}


def _averaged_cost(protocol: Mapping[str, Any]) -> dict[str, str]:
    """With its interval where there is one limit: over several, the interval of each stands in the summary."""
    if len(protocol["limits"]) == 1:
        return _cost(protocol, protocol["limits"][0])
    return {"normalised cost": f"{protocol['normalised_cost_mean']:.2f}"}


def _cost(protocol: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, str]:
    """The normalised cost under a limit; under a limit of 0 the cost itself."""
    if has_limit_of_zero(protocol):
        return {"cost": f"{protocol['cost_mean']:.2f}"}
    return {"normalised cost": _mean(record, "normalised_cost", protocol["episodes"])}


def _safe(protocol: Mapping[str, Any]) -> str:
    """Whether the mean cost is within the limit; few episodes do not show that it is."""
    if not protocol["safe"]:
        return "no"
    return "yes" if protocol["episodes"] >= FEWEST_EPISODES else DASH


def _mean(part: Mapping[str, Any], column: str, episodes: int, *, digits: int = 2) -> str:
    return bracketed(part[f"{column}_mean"], part[f"{column}_interval"], digits=digits, episodes=episodes)


def _share(part: Mapping[str, Any], column: str) -> str:
    return bracketed_share(part[f"{column}_rate"], part[f"{column}_interval"])


def budget_rows(figures: Mapping[str, Any]) -> list[dict[str, str]]:
    """A table row for each budget of an evaluation's figures (`evaluation.summarize.budget_figures`)."""
    with reading("budgets", "of an evaluation under budgets"):
        return [_budget_row(record) for record in figures["budgets"]]


def level_name(level: float | None) -> str:
    """Name of a calibrated level in figures. A preset may have a margin of its own, so None reads "not calibrated"."""
    return "not calibrated" if level is None else f"calibrated for {100 * level:g} %"


def _budget_row(record: Mapping[str, Any]) -> dict[str, str]:
    limited = record["budget"] is not None
    return {
        "budget": record["asked"],
        "cost allowed": f"{record['budget']:.4g}" if limited else "no limit",
        "episodes": f"{record['episodes']:,}",
        "return": _mean(record, "return", record["episodes"], digits=1),
        "return of the seeds": over_seeds(record.get("return_per_seed"), "{:.1f}".format),
        "cost": _mean(record, "cost", record["episodes"], digits=2),
        "cost of the seeds": over_seeds(record.get("cost_per_seed"), "{:.2f}".format),
        "normalised cost": _mean(record, "normalised_cost", record["episodes"], digits=3) if record["budget"] else DASH,
        "over budget": _share(record, "exceeded") if limited else DASH,
        "within 1.1": _share(record, "nearly_within") if limited else DASH,
        "ms a step": f"{1000 * record['step_seconds_median'] / record['lanes']:.3g}",
    }
