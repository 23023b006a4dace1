"""Results of commands as table rows and sentences: latency, margins, simulators, data, fine-tuning."""

from collections.abc import Mapping, Sequence
from typing import Any

from surefoot.data import Dataset
from surefoot.data.describe import Description, coverage
from surefoot.data.frames import FrameData
from surefoot.envs.simulators.check import Probe
from surefoot.errors import SimulatorError
from surefoot.safety.calibration import Calibration

SPREADS = ("smallest", "lower quarter", "median", "upper quarter", "largest")
BAR = 24
"""Widest bar, in characters."""
GAP = "gap"
"""Mark of a bin without episodes."""


def spread_rows(found: Description) -> list[dict[str, str]]:
    """Table rows of the spread of the episodes' returns, costs and lengths."""
    rows = []
    for name, spread in {"return": found.returns, "cost": found.cost_returns, "length": found.lengths}.items():
        values = [None] * (1 + len(SPREADS)) if spread is None else [spread.mean, *spread.quantiles]
        shown = ("none" if value is None else f"{value:,.4g}" for value in values)
        rows.append({"of each episode": name, **dict(zip(("mean", *SPREADS), shown, strict=True))})
    return rows


def limit_rows(found: Description) -> list[dict[str, str]]:
    """Table rows of cost limits: share and best return of the episodes within each."""
    return [
        {
            "cost limit": f"{limit.cost_limit:g}",
            "episodes within": f"{limit.safe_share:.1%}",
            "their best return": "none" if limit.best_return is None else f"{limit.best_return:,.4g}",
        }
        for limit in found.limits
    ]


def bin_rows(found: Description) -> list[dict[str, str]]:
    """Table rows of cost bins: episodes in each, with a bar."""
    edges, most = found.cost_edges, max(*found.cost_counts, 1)
    return [
        {"cost from": f"{low:g}", "to": f"{high:g}", "episodes": f"{n:,}", "": "█" * -(-n * BAR // most) if n else GAP}
        for low, high, n in zip(edges[:-1], edges[1:], found.cost_counts, strict=True)
    ]


def latency_rows(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """Table rows of a policy's latency, for each number of environments."""
    return [
        {
            "environments": str(record["batch"]),
            "calls": str(record["calls"]),
            "compiling": f"{record['first_call_seconds']:.2f} s",
            "median": f"{record['p50_ms']:.3g} ms",
            "95th percentile": f"{record['p95_ms']:.3g} ms",
            "99th percentile": f"{record['p99_ms']:.3g} ms",
            "median for each": f"{record['p50_ms'] / record['batch']:.3g} ms",
        }
        for record in found["batches"]
    ]


def probe_rows(found: Mapping[str, Probe | SimulatorError]) -> list[dict[str, str]]:
    """Table rows of checked simulators, with failures."""
    return [_probe_row(name, result) for name, result in found.items()]


def _probe_row(name: str, result: Probe | SimulatorError) -> dict[str, str]:
    if isinstance(result, SimulatorError):
        return {"task": name, "result": "FAILED"}
    return {
        "task": name,
        "result": "ok",
        "observation": str(result.observation_dim),
        "action": str(result.action_dim),
        "horizon": str(result.horizon),
        "steps per CPU second": f"{result.steps_per_cpu_second:,.0f}",
        "reset, CPU ms": f"{1000 * result.reset_cpu_seconds:.1f}",
    }


def calibration_rows(found: Calibration) -> list[dict[str, str]]:
    """Table rows of margins for each seed and level, and of costs that budgets kept."""
    rows = []
    for seed, levels in found.seeds.items():
        for level, margins in levels.items():
            listed = "  ".join(f"{value:.3g}" for value in margins)
            rows.append({"seed": seed, "level": level, f"margin of each {found.stretch} steps": listed})
    for seed, levels in found.kept.items():
        for level, (given, kept) in levels.items():
            listed = "  ".join(f"{budget:.3g}: {cost:.3g}" for budget, cost in zip(given, kept, strict=True))
            holds = f"{found.holds_from(int(seed), float(level)):.3g}"
            rows.append({"seed": seed, "level": level, "holds from": holds, "budget given: cost kept to": listed})
    return rows


def coverage_sentence(dataset: Dataset | FrameData) -> str:
    """Sentence on the content of a dataset."""
    found = coverage(dataset)
    return (
        f"{found['transitions']:,} transitions in {found['episodes']:,} episodes, "
        f"{found['violation_free_rate']:.1%} of them without violation, mean return {found['return_mean']:.2f}."
    )


def online_sentences(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Sentences on the last round of fine-tuning, and on the shares of two actors in all rounds."""
    last = [row for row in rows if row["round"] == rows[-1]["round"]]
    cost, episodes = sum(row["total_cost"] for row in last), sum(row["episodes"] for row in last)
    violating = sum(row["violating_episodes"] for row in last)
    found = [f"{episodes:,} episodes, {violating:,} of them with a violation, cost {cost:g} in all."]
    if rates := [rate for row in rows if (rate := row["metrics"].get("act/online_rate")) is not None]:
        share = sum(rates) / len(rates)
        found.append(f"The actor that learns acted in {share:.1%} of the steps, the offline one in the rest.")
    return found
