"""Tables of a benchmark: tasks as rows, methods as columns, in Markdown, CSV and LaTeX.

A cell shows the normalized return at the normalized cost and the share of safe episodes; 95 % intervals by stratified
bootstrap stand in brackets.
"""

from collections.abc import Mapping
from typing import Any

from surefoot.report.key_figures import has_limit_of_zero
from surefoot.report.tables import DASH, bracketed, csv_table, latex_table, markdown_table, percent
from surefoot.text import printable

UNSAFE = "✗"
HELD_OUT = "held-out"
CAPTION = (
    "Normalised return at normalised cost, share of safe episodes; 95 % intervals by stratified bootstrap in brackets. "
    f"{UNSAFE}: mean cost above the limit."
)
_CSV = (
    "protocol", "task", "role", "fraction", "method", "status", "return", "return_low", "return_high", "cost",
    "cost_low", "cost_high", "safe", "safe_episodes", "safe_episodes_low", "safe_episodes_high", "episodes", "seeds",
    "best_safe_logged_return", "doubtful", "reason",
)  # fmt: skip


def benchmark_rows(summary: Mapping[str, Any], protocol: str) -> list[dict[str, str]]:
    """Table rows of tasks and shares of their data, a column for each method.

    Args:
        summary: Summary of the benchmark.
        protocol: Name of the protocol.

    Returns:
        The rows.
    """
    methods = summary["plan"]["methods"]
    rows: dict[tuple[str, float], dict[str, str]] = {}
    for entry in summary["results"]:
        if entry["protocol"] != protocol:
            continue
        empty = {"task": _task_name(entry), **{methods[key]["title"]: DASH for key in methods}}
        row = rows.setdefault((entry["task"], entry["fraction"]), empty)
        row[methods[entry["method"]]["title"]] = _cell(entry)
    return list(rows.values())


def overall_rows(summary: Mapping[str, Any], protocol: str) -> list[dict[str, str]]:
    """Table rows of means over tasks, for each method and role of tasks.

    Args:
        summary: Summary of the benchmark.
        protocol: Name of the protocol.

    Returns:
        The rows.
    """
    rows = []
    for key, overall in summary["methods"][protocol].items():
        for role, found in overall.items():
            if not found["done"] or (role == "all" and found["done"] in _others(overall)):
                continue
            rows.append(
                {
                    "method": summary["plan"]["methods"][key]["title"],
                    "tasks": f"{role}, {found['done']} of {found['tasks']} done",
                    "mean return": _with_interval(found["normalised_return"]),
                    "mean cost": _with_interval(found["normalised_cost"]),
                    "safe": f"{found['safe']} of {found['done']}",
                    "safe, half of the log's best": _out_of(found["safe_and_earning"], found["earning_judged"]),
                    "90 % of episodes safe": f"{found['mostly_safe']} of {found['done']}",
                    "verdict before simulation": _verdicts(found["verdicts"]),
                }
            )
    return rows


def _out_of(count: int, judged: int) -> str:
    """A count of those that could be judged; without rewards, or without a safe logged episode, none can."""
    return f"{count} of {judged}" if judged else "not known"


def comparison_sentence(summary: Mapping[str, Any], protocol: str) -> str:
    """Sentence on returns over the tasks that the baseline is safe on; empty without a comparison.

    Args:
        summary: Summary of the benchmark.
        protocol: Name of the protocol.

    Returns:
        The sentence.
    """
    found = summary["comparison"][protocol]
    if not found or not found["tasks"]:
        return ""
    methods = summary["plan"]["methods"]
    returns = [f"{methods[key]['title']} {_with_interval(one)}" for key, one in found["normalised_return"].items()]
    count = len(found["tasks"])
    place = "the one task" if count == 1 else f"the {count} tasks"
    absent = [methods[key]["title"] for key in found["not_done"]]
    lacking = f" Not done on all of them: {', '.join(absent)}." if absent else ""
    return (
        f"Mean return over {place} on which {methods[found['baseline']]['title']} is safe "
        f"({', '.join(found['tasks'])}): {', '.join(returns)}.{lacking}"
    )


def failures(summary: Mapping[str, Any]) -> list[str]:
    """A sentence for each cell that failed."""
    found = {}
    for entry in summary["results"]:
        if entry["status"] == "failed":
            title = summary["plan"]["methods"][entry["method"]]["title"]
            found[entry["task"], entry["fraction"], title] = (
                f"{title} on {_task_name(entry)} failed: {entry['reason'].rstrip('.')}."
            )
    return list(found.values())


def markdown(summary: Mapping[str, Any]) -> str:
    """All tables and failures of a benchmark in Markdown."""
    parts = []
    for protocol in summary["plan"]["protocols"]:
        parts += [f"Protocol {protocol}. {CAPTION}\n", markdown_table(benchmark_rows(summary, protocol))]
        if overall := overall_rows(summary, protocol):
            parts.append(markdown_table(overall))
        if sentence := comparison_sentence(summary, protocol):
            parts.append(f"{sentence}\n")
    if failed := failures(summary):
        parts.append("".join(f"- {printable(sentence)}\n" for sentence in failed))
    return "\n".join(parts)


def comma_separated(summary: Mapping[str, Any]) -> str:
    """CSV with a line for each protocol, task, share and method."""
    rows = []
    for entry in summary["results"]:
        record = summary["data"].get(entry["task"], {})
        line = {name: entry[name] for name in ("protocol", "task", "role", "fraction", "method", "status")}
        line |= {"doubtful": entry["doubtful"]}
        line |= {"best_safe_logged_return": record.get("best_safe_return"), "reason": entry.get("reason", "")}
        rows.append({**line, **_figures(entry["figures"])})
    return csv_table(rows, _CSV)


def latex(summary: Mapping[str, Any]) -> str:
    """A tabular environment for each protocol, for the package booktabs."""
    parts = [
        f"% Protocol {protocol}. {CAPTION}".replace(UNSAFE, "x") + f"\n{latex_table(benchmark_rows(summary, protocol))}"
        for protocol in summary["plan"]["protocols"]
    ]
    return "\n\n".join(parts) + "\n"


def _task_name(entry: Mapping[str, Any]) -> str:
    marks = ["held out"] if entry["role"] == HELD_OUT else []
    marks += [f"{100 * entry['fraction']:g} % of the data"] if entry["fraction"] < 1 else []
    return f"{entry['task']} ({', '.join(marks)})" if marks else entry["task"]


def _cell(entry: Mapping[str, Any]) -> str:
    if entry["status"] != "done":
        return "failed" if entry["status"] == "failed" else DASH
    figures = entry["figures"]
    mark = "" if figures["safe"] else f" {UNSAFE}"
    if has_limit_of_zero(figures):
        cost = f"a cost of {figures['cost_mean']:.2f}"
    else:
        interval = figures["limits"][0]["normalised_cost_interval"] if len(figures["limits"]) == 1 else None
        cost = bracketed(figures["normalised_cost_mean"], interval)
    reached = bracketed(figures["normalised_return_mean"], figures["normalised_return_interval"])
    return f"{reached} at {cost}, {percent(figures['episode_safe_rate'])}{mark}"


def _verdicts(found: Mapping[str, int]) -> str:
    if not found["bad"] + found["good"]:
        return DASH
    return f"{found['bad_caught']} of {found['bad']} bad caught, {found['good_passed']} of {found['good']} good passed"


def _figures(figures: Mapping[str, Any] | None) -> dict[str, Any]:
    if figures is None:
        return {}
    single = figures["limits"][0] if len(figures["limits"]) == 1 else {}
    return_low, return_high = figures["normalised_return_interval"] or ("", "")
    cost_low, cost_high = single.get("normalised_cost_interval") or ("", "")
    safe_low, safe_high = single.get("episode_safe_interval") or ("", "")
    return {
        "return": figures["normalised_return_mean"], "return_low": return_low, "return_high": return_high,
        "cost": figures["normalised_cost_mean"], "cost_low": cost_low, "cost_high": cost_high, "safe": figures["safe"],
        "safe_episodes": figures["episode_safe_rate"], "safe_episodes_low": safe_low, "safe_episodes_high": safe_high,
        "episodes": figures["episodes"], "seeds": len(figures["seeds"]),
    }  # fmt: skip


def _with_interval(found: Mapping[str, Any]) -> str:
    return DASH if found["mean"] is None else bracketed(found["mean"], found["interval"])


def _others(overall: Mapping[str, Any]) -> list[int]:
    return [found["done"] for role, found in overall.items() if role != "all"]
