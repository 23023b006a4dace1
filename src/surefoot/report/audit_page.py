"""The files of an audit: the page, its figures, and all numbers as JSON.

FOLDER/audit.json         what was found, and the verdict
FOLDER/audit.html         the same as a page that needs nothing else
FOLDER/episodes.png       V_h along held-out episodes
FOLDER/calibration.png    V_h against what the log did afterwards; both only where the method has V_h
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from surefoot.audit.audit import Audit, audit
from surefoot.file_sets import check_writable, write_together
from surefoot.files import json_content
from surefoot.observer import Observer
from surefoot.report.audit_words import (
    audit_checks,
    audit_verdict,
    is_doubtful,
    sign_rows,
    support_rows,
    value_rows,
    violation_rows,
)
from surefoot.report.html import report_page
from surefoot.report.style import BLUE, GREY, light_grid, new_figure, png_of, styled
from surefoot.report.value_paths import draw_value_paths
from surefoot.text import without_folders
from surefoot.training import RunDirectory

FOLDER = "audit"
"""Name of the folder in the run's folder."""
PAGE, VALUES = "audit.html", "audit.json"
_DPI = 150


class AuditReport(NamedTuple):
    """A written audit."""

    folder: Path
    values: dict[str, Any]
    """Content of audit.json."""

    @property
    def doubtful(self) -> bool:
        """Whether a check fails."""
        return bool(self.values["doubtful"])

    @property
    def verdict(self) -> list[str]:
        """The verdict in sentences."""
        return list(self.values["verdict"])


def write_audit(
    run: Path, *, data: Path | None = None, baseline: Path | None = None, out: Path | None = None,
    observer: Observer | None = None,
) -> AuditReport:  # fmt: skip
    """Audit a run (`surefoot.audit.audit`) and write its files, all or none of them.

    Args:
        run: Folder of the run.
        data: Present path of the run's data; None: where they lay, or near the run.
        baseline: Run on the same data that is estimated beside it.
        out: Folder of the files; None: "audit" in the run's.
        observer: Receives progress.

    Returns:
        Folder and values of the audit.

    Raises:
        ConfigError: The run cannot be audited.
        DataError: The data cannot be read.
        OutputError: The networks overflow.
        OSError: The files cannot be written.
    """
    folder = run / FOLDER if out is None else out
    RunDirectory(run).read_config()  # before anything is made in its place
    check_writable(folder)
    found = audit(run, data=data, baseline=baseline, observer=observer)
    values = audit_values(found)
    figures = audit_figures(found)
    contents = {folder / f"{name}.png": png_of(figure, dpi=_DPI) for name, (figure, _) in figures.items()}
    contents[folder / PAGE] = _page(values, figures).encode()
    contents[folder / VALUES] = json_content(values)
    write_together(contents)
    return AuditReport(folder, values)


def audit_values(found: Audit) -> dict[str, Any]:
    """Content of audit.json: figures, checks and verdict; paths by their last names."""
    checks = [
        {"name": check.name, "found": check.reached, "expected": check.target, "met": check.met}
        for check in audit_checks(found.figures)
    ]
    verdict, doubtful = audit_verdict(found.figures), is_doubtful(found.figures)
    public: dict[str, Any] = without_folders(found.figures)
    return {"verdict": verdict, "doubtful": doubtful, "checks": checks, **public}


def audit_figures(found: Audit) -> dict[str, tuple[Figure, str]]:
    """Figures of an audit with their captions, by name."""
    if not found.drawn:
        return {}
    figures = {
        "episodes": (
            draw_value_paths(found.drawn, found.margin),
            "V_h along held-out episodes, in units of h. Line: mean over the seeds; band: from the smallest to the "
            "largest; below the dashed line a state counts as feasible. Red: steps into a violation.",
        )
    }
    bins = found.figures["calibration"]["bins"]
    if len(bins) > 1:
        figures["calibration"] = (
            calibration_figure(bins),
            "Held-out states by V_h plus the margin, as many in each point: the share after which the log entered a "
            "violation. Right of 0 a state does not count as feasible. A low share there is no error where the log had "
            "a way out that it took.",
        )
    return figures


@styled
def calibration_figure(bins: Sequence[Mapping[str, Any]]) -> Figure:
    """Figure of the share of states before a violation over V_h plus the margin."""
    figure = new_figure(2.8)
    axes = figure.subplots()
    values, shares = ([one[name] for one in bins] for name in ("value", "followed"))
    axes.plot(values, [100.0 * share for share in shares], color=BLUE, marker="o")
    axes.axvline(0.0, color=GREY, linewidth=0.8, linestyle="--")
    axes.set_ylim(-3, 103)
    axes.set_xlabel("$V_h$ plus the margin, units of h")
    axes.set_ylabel("followed by a violation, %")
    light_grid(axes)
    return figure


def _page(values: Mapping[str, Any], figures: Mapping[str, tuple[Figure, str]]) -> str:
    first, *others = values["verdict"]
    data = values["data"]
    return report_page(
        title=f"Audit of {values['algorithm'].upper()} on {values['task']}",
        summary={name: values[name] for name in ("task", "algorithm", "seeds")},
        figures=figures,
        checks=audit_checks(values),
        headline=first,
        remarks=others,
        further_tables={
            "Estimated values": value_rows(values),
            "Violations": violation_rows(values),
            "Warnings and alarms": sign_rows(values),
            "Support of the actions": support_rows(values),
        },
        details={
            "Data": {"file": data["path"], "fingerprint": data["fingerprint"], **data["episodes"]},
            "Fitted-Q evaluation": values.get("fitted", {}),
        },
    )
