"""`surefoot audit RUN`: what episodes that training never saw say of a run, without a simulator."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from surefoot.cli.options import parse
from surefoot.cli.progress import Terminal
from surefoot.cli.terminal import say, say_lines
from surefoot.errors import ConfigError
from surefoot.observer import StrictOption
from surefoot.report.audit_page import PAGE, VALUES, AuditReport, write_audit
from surefoot.report.audit_words import sign_rows, value_rows, violation_rows
from surefoot.report.tables import plain_table


@dataclass(frozen=True, kw_only=True)
class AuditOptions(StrictOption):
    """Judge a run by the episodes that `surefoot train` kept aside with `--held-out`: what its values say of logged
    violations, how early they warn, how far its actions lie from logged ones, and what it would bring in return and
    costs (fitted-Q evaluation). Writes audit.html, audit.json and figures. With --strict a doubtful verdict is an
    error."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    data: Path | None = None
    """The data that the run was trained on, where they are not in their old place."""
    baseline: Path | None = None
    """A run on the same data whose values are estimated beside it, as one of behavior cloning."""
    out: Path | None = None
    """Folder for the files; audit in the run's folder by default."""
    json: bool = False
    """Print what audit.json holds in place of the verdict and the tables."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    options = parse(AuditOptions, arguments, command="audit")
    report = write_audit(
        options.run, data=options.data, baseline=options.baseline, out=options.out, observer=Terminal()
    )  # fmt: skip
    _tell(report, as_json=options.json)
    if options.strict and report.doubtful:
        raise ConfigError(f"{report.verdict[0].rstrip('.')} (an error because of --strict).")


def _tell(report: AuditReport, *, as_json: bool) -> None:
    values = report.values
    if as_json:
        say_lines(json.dumps(values, indent=2))
        return
    for rows in (value_rows(values), violation_rows(values), sign_rows(values)):
        if rows:
            say_lines(plain_table(rows))
            say()
    for sentence in report.verdict:
        say(sentence)
    say(f"The audit lies at {report.folder / PAGE} and {report.folder / VALUES}")
