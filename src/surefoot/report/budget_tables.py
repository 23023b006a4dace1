"""Tables of evaluations under budgets: a row for each budget, and what they say together."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from surefoot.errors import DataError
from surefoot.report.tables import DASH, percent
from surefoot.report.verdicts import KeyFigure, judged_by, verdict

EPISODES_NEARLY_WITHIN = 0.9
SHARE_OF_UNCONSTRAINED = 0.95


def budget_rows(figures: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row for each budget of what `evaluation.summarize.budget_figures` gives; 95 % intervals in brackets."""
    with _reading():
        return [_row(record) for record in figures["budgets"]]


@contextmanager
def _reading() -> Iterator[None]:
    """Turn a figure that is missing or of another form into a `DataError`."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"summary: key 'budgets': expected the figures of an evaluation under budgets, found others ({error}); "
            f"evaluate the run again."
        ) from error


def budget_key_figures(figures: Mapping[str, Any]) -> list[KeyFigure]:
    """The figures that have a target: costs within budgets, most episodes within 1.1 of them, returns that rise.

    `DataError` where one is missing.
    """
    with _reading():
        return _key_figures(figures)


def _key_figures(figures: Mapping[str, Any]) -> list[KeyFigure]:
    limited = [record for record in figures.get("budgets", []) if record["budget"] is not None]
    if not limited:
        return []
    found = [*_cost_figures(limited), _nearly_within(limited)]
    if (level := figures.get("level")) is not None:
        over = max(record["exceeded_rate"] for record in limited)
        found.append(KeyFigure("Episodes over budget, most", percent(over), f"≤ {percent(level)}", over <= level))
    fewest = min(record.get("episodes", 0) for record in limited)
    found = [judged_by(figure, fewest) for figure in found]
    if len(limited) > 1:
        rises = figures["return_rises"]
        figure = KeyFigure("Return rises with the budget", "yes" if rises else "no", "yes", bool(rises))
        if rises is None:  # as of an agent that stands still
            figure = KeyFigure("Return rises with the budget", "the same under all", "", None)
        found.append(judged_by(figure, fewest, is_return=True))
    if (share := figures.get("share_of_unconstrained_return")) is not None:
        figure = _share_of_unconstrained(share, figures["budgets"], limited[-1])
        found.append(judged_by(figure, fewest, is_return=True))
    return found


def _cost_figures(limited: Sequence[Mapping[str, Any]]) -> list[KeyFigure]:
    """Costs against budgets; under a budget of 0 the cost itself, for none is a share of it."""
    found = []
    if some := [record for record in limited if record["budget"] > 0]:
        worst = max(record["normalised_cost_mean"] for record in some)
        found.append(KeyFigure("Mean cost over budget, largest", f"{worst:.3f}", "≤ 1", worst <= 1))
    for record in limited:
        if record["budget"] == 0:
            cost = record["cost_mean"]
            found.append(KeyFigure("Mean cost under a budget of 0", f"{cost:.3f}", "≤ 0", cost <= 0))
    return found


def _nearly_within(limited: Sequence[Mapping[str, Any]]) -> KeyFigure:
    fewest = min(record["nearly_within_rate"] for record in limited)
    return KeyFigure(
        "Episodes within 1.1 of the budget, fewest",
        percent(fewest),
        f"≥ {percent(EPISODES_NEARLY_WITHIN)}",
        fewest >= EPISODES_NEARLY_WITHIN,
    )


def _share_of_unconstrained(
    share: float, records: Sequence[Mapping[str, Any]], largest: Mapping[str, Any]
) -> KeyFigure:
    """Judged only where the largest budget is all that a planner needs: a ratio of 1, or what it costs unlimited. A
    smaller one must cost return."""
    unlimited = min(record["cost_mean"] for record in records if record["budget"] is None)
    enough = (largest.get("ratio") or 0.0) >= 1.0 or largest["budget"] >= unlimited
    name, target = "Return at the largest budget, of the unconstrained planner's", SHARE_OF_UNCONSTRAINED
    if not enough:
        return KeyFigure(name, percent(share), "", None)
    return KeyFigure(name, percent(share), f"≥ {percent(target)}", share >= target)


def budget_verdict(figures: Mapping[str, Any]) -> str:
    """One sentence: how many of the targets are met, and which are not."""
    return verdict(budget_key_figures(figures))


def level_name(level: float | None) -> str:
    """What a line of figures is called. A preset may have a margin of its own, so that none calibrated is not none."""
    return "not calibrated" if level is None else f"calibrated for {100 * level:g} %"


def level_rows(levels: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """A row for each level of calibration (none first) and budget: how many episodes exceeded it, and the return."""
    return [
        {
            "margin": level_name(figures["level"]),
            "budget": record["asked"],
            "over budget": percent(record["exceeded_rate"]),
            "normalised cost": f"{record['normalised_cost_mean']:.3f}" if record["budget"] else DASH,
            "return": f"{record['return_mean']:.1f}",
        }
        for figures in levels
        for record in figures["budgets"]
        if record["budget"] is not None
    ]


def _row(record: Mapping[str, Any]) -> dict[str, str]:
    limited = record["budget"] is not None
    return {
        "budget": record["asked"],
        "cost allowed": f"{record['budget']:.4g}" if limited else "no limit",
        "episodes": f"{record['episodes']:,}",
        "return": _interval(record, "return", 1),
        "cost": _interval(record, "cost", 2),
        "normalised cost": _interval(record, "normalised_cost", 3) if record["budget"] else DASH,
        "over budget": _share(record, "exceeded") if limited else DASH,
        "within 1.1": _share(record, "nearly_within") if limited else DASH,
        "ms a step": f"{1000 * record['step_seconds_median'] / record['lanes']:.3g}",
    }


def _interval(record: Mapping[str, Any], column: str, digits: int) -> str:
    bounds = record[f"{column}_interval"]
    if bounds is None:
        return f"{record[f'{column}_mean']:.{digits}f} (n = {record['episodes']:,})"
    low, high = bounds
    return f"{record[f'{column}_mean']:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _share(record: Mapping[str, Any], column: str) -> str:
    low, high = (percent(bound).removesuffix(" %") for bound in record[f"{column}_interval"])
    return f"{percent(record[f'{column}_rate'])} [{low}, {high}]"
