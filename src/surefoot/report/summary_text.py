"""The summary of a run as text: tables and verdict."""

from typing import Any

from surefoot.report.key_figures import budget_verdict, key_figure_rows, key_figures
from surefoot.report.summary_rows import budget_rows, evaluation_rows, protocol_rows
from surefoot.report.tables import plain_table
from surefoot.report.verdicts import verdict


def summary_text(summary: dict[str, Any]) -> str:
    """Tables and verdict of a run's summary, for the terminal."""
    if "budgets" in summary:
        return f"{plain_table(budget_rows(summary['budgets']))}\n\n{budget_verdict(summary['budgets'])}"
    judged = key_figures(summary)
    rows = protocol_rows(summary) or evaluation_rows(summary)
    parts = [plain_table(rows), plain_table(key_figure_rows(judged)), verdict(judged)]
    return "\n\n".join(part for part in parts if part)
