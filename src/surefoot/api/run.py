"""`Run`: the folder of a trained run, with everything that can be measured on it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surefoot.api.environments import MakeEnv, environments_of
from surefoot.api.options import known_options
from surefoot.evaluation.calibrate import CalibrationRequest, calibrate_run
from surefoot.evaluation.latency import LatencyRequest, measure_latency
from surefoot.evaluation.request import EvaluationRequest, evaluate_run
from surefoot.experiments.finetune import FinetuneRequest, Finetuning, finetune_run
from surefoot.observer import Observer
from surefoot.report.audit_page import AuditReport, write_audit
from surefoot.report.run_page import report
from surefoot.report.summary_text import summary_text
from surefoot.runs.output_folder import check_output_folder
from surefoot.runs.summary import read_summary
from surefoot.safety.calibration import Calibration, write_calibration
from surefoot.tasks import Task
from surefoot.training import LoadedPolicy, RunConfig, RunDirectory, load_policy


class Run:
    """A run in its folder, as `surefoot.train` or `surefoot train` left it. Opening one reads nothing but its
    configuration; what is measured is written into the folder.

        run = surefoot.Run("runs/boiler")
        run.evaluate(episodes=20)
        action = run.policy(seed=0).session().act(observation)
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """The run in the folder `path`. Raises `ConfigError` where there is none."""
        self._directory = RunDirectory(Path(path))
        self._directory.read_config()

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self._directory.path

    @property
    def config(self) -> RunConfig:
        """The run's resolved configuration."""
        return self._directory.read_config()

    @property
    def task(self) -> Task:
        """The task that it was trained on, which the run keeps."""
        return self.config.known_task()

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that were trained side by side."""
        return self.config.seeds

    @property
    def summary(self) -> dict[str, Any]:
        """All measurements so far, as JSON values: summary.json."""
        return read_summary(self.path)

    def __str__(self) -> str:
        return f"{self.config.algorithm} on {self.config.task} in {self.path}"

    def table(self) -> str:
        """The measurements as text, as `surefoot evaluate` prints them."""
        return summary_text(self.summary)

    def policy(self, seed: int | None = None, *, overrides: Mapping[str, Any] | None = None) -> LoadedPolicy:
        """The policy of `seed`, or of the first: as `surefoot.load`."""
        return load_policy(self.path, seed=seed, overrides=overrides)

    def evaluate(
        self, make_env: MakeEnv | None = None, *, observer: Observer | None = None, **options: Any
    ) -> dict[str, Any]:
        """Measure all seeds as `surefoot evaluate` does, and return the summary.

        Args:
            make_env: A Gymnasium environment to act in, whose costs and constraints are those of the task's file, or
                `info["cost"]`: an id or "module:function", of which worker processes make theirs, or a function that
                makes one, called in this process. By default the task's own environment.
            observer: Hears of progress and remarks.
            options: Those of `surefoot evaluate` by their names in Python: `episodes`, `protocol`, `workers`, `budget`,
                `cost_limit`, `level` and so on, as in `EvaluationRequest`.

        Raises:
            ConfigError: Where the run cannot be measured so.
        """
        options = known_options(EvaluationRequest, options)
        request = EvaluationRequest(**options)
        opened = None if make_env is None else environments_of(make_env)
        return evaluate_run(self.path, request, given=tuple(options), observer=observer, open_environment=opened)

    def finetune(
        self, out: str | os.PathLike[str], make_env: MakeEnv | None = None, *, resume: bool = False,
        without_offline_data: bool = False, observer: Observer | None = None, **options: Any,
    ) -> "Run":  # fmt: skip
        """Go on with the run online, as `surefoot finetune` does, and return the run that comes of it.

        Args:
            out: Folder of the fine-tuned run, made if missing.
            make_env: A Gymnasium environment to act in, as in `evaluate`; by default the task's own environment.
            resume: Go on with the fine-tuning in the folder, which ends with the same bits.
            without_offline_data: Start with an empty replay, where the offline data are gone.
            observer: Hears of progress and remarks.
            options: As in `FinetuneRequest`: `task` (a name, the path of a task file, or a `Task`), `steps`,
                `num_envs`, `ratio`, `online_share` and so on.

        Raises:
            ConfigError: Where the run's algorithm cannot be fine-tuned, or the options cannot be used.
        """
        place = Path(out)
        check_output_folder(place, resume=resume)
        options = known_options(FinetuneRequest, options)
        request = Finetuning(
            **options, run=self.path, out=place, resume=resume,
            without_offline_data=without_offline_data,
        )  # fmt: skip
        finetune_run(
            request, command=("surefoot.finetune", str(self.path)), given=tuple(options), observer=observer,
            open_environment=None if make_env is None else environments_of(make_env),
        )  # fmt: skip
        return Run(place)

    def measure_latency(self, *, observer: Observer | None = None, **options: Any) -> dict[str, Any]:
        """Measure the time of a decision in milliseconds: median, 95th and 99th percentile, as `surefoot bench act`
        does. `options` as in `LatencyRequest`: `batch`, `calls`, `seconds`, `budget`."""
        options = known_options(LatencyRequest, options)
        request = LatencyRequest(**options)
        return measure_latency(self.path, request, given=tuple(options), observer=observer)

    def report(self, out: str | os.PathLike[str] | None = None, *, observer: Observer | None = None) -> Path:
        """Write the HTML page of the run, by default into its folder, and return where it lies."""
        return report(self.path, out=None if out is None else Path(out), observer=observer)

    def audit(
        self, *, data: str | os.PathLike[str] | None = None, baseline: "Run | None" = None,
        out: str | os.PathLike[str] | None = None, observer: Observer | None = None,
    ) -> AuditReport:  # fmt: skip
        """Judge the run by its held-out episodes (`held_out`), as `surefoot audit` does, and write page, figures and
        numbers into `out`, by default a folder in the run. `data`: the run's data where they have moved; `baseline`: a
        run on the same data that is estimated beside it."""
        place, folder = (None if one is None else Path(one) for one in (data, out))
        other = None if baseline is None else baseline.path
        return write_audit(self.path, data=place, baseline=other, out=folder, observer=observer)

    def calibrate(self, *, observer: Observer | None = None, **options: Any) -> Calibration:
        """Find the margins that keep a level of episodes over budget, as `surefoot calibrate` does, and write them into
        the run. `options`: those of the command by their names in Python, as in `CalibrationRequest`.

        Raises `ConfigError` where the run's algorithm plans under no budget.
        """
        request = CalibrationRequest(**known_options(CalibrationRequest, options))
        found = calibrate_run(self.path, request, given=tuple(options), observer=observer or Observer())
        write_calibration(self.path, found)
        return found


def evaluate(run: Run | str | os.PathLike[str], make_env: MakeEnv | None = None, **options: Any) -> dict[str, Any]:
    """Measure a run, or the one in a folder: as `Run.evaluate`."""
    return (run if isinstance(run, Run) else Run(run)).evaluate(make_env, **options)


def finetune(
    run: Run | str | os.PathLike[str], out: str | os.PathLike[str], make_env: MakeEnv | None = None, **options: Any
) -> Run:
    """Go on with a run online, or with the one in a folder: as `Run.finetune`."""
    return (run if isinstance(run, Run) else Run(run)).finetune(out, make_env, **options)
