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
    """A trained run in its folder, as `surefoot.train` or `surefoot train` left it.

    Opening a run reads its configuration alone. Measurements are written into the folder.

        run = surefoot.Run("runs/boiler")
        run.evaluate(episodes=20)
        action = run.policy(seed=0).session().act(observation)
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open the run in a folder.

        Args:
            path: Folder of the run.

        Raises:
            ConfigError: The folder holds no run.
        """
        self._directory = RunDirectory(Path(path))
        self._directory.read_config()

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def path(self) -> Path:
        """Folder of the run."""
        return self._directory.path

    @property
    def config(self) -> RunConfig:
        """Resolved configuration of the run."""
        return self._directory.read_config()

    @property
    def task(self) -> Task:
        """Task of the training data, which the run keeps."""
        return self.config.known_task()

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds that were trained side by side."""
        return self.config.seeds

    @property
    def summary(self) -> dict[str, Any]:
        """All measurements so far, as JSON values (summary.json)."""
        return read_summary(self.path)

    def __str__(self) -> str:
        return f"{self.config.algorithm} on {self.config.task} in {self.path}"

    def table(self) -> str:
        """Measurements as a text table, as `surefoot evaluate` prints it."""
        return summary_text(self.summary)

    def policy(self, seed: int | None = None, *, overrides: Mapping[str, Any] | None = None) -> LoadedPolicy:
        """Load the policy of one seed, as `surefoot.load` does.

        Args:
            seed: Training seed; None: the first.
            overrides: Hyper-parameters of acting to change, by name; None: none.

        Returns:
            The policy.
        """
        return load_policy(self.path, seed=seed, overrides=overrides)

    def evaluate(
        self, make_env: MakeEnv | None = None, *, observer: Observer | None = None, **options: Any
    ) -> dict[str, Any]:
        """Evaluate all seeds in an environment, as `surefoot evaluate` does.

        Args:
            make_env: Gymnasium environment to act in, whose costs and constraints are those of the task's file, or
                `info["cost"]`: an id or "module:function", which worker processes make, or a function that makes one,
                called in this process. None: the task's own environment.
            observer: Is told progress and remarks; None: remarks become Python warnings.
            options: Options of `surefoot evaluate` by their Python names, as in `EvaluationRequest`: `episodes`,
                `protocol`, `workers`, `budget`, `cost_limit`, `level` and so on.

        Returns:
            The run's summary with the new measurements, as JSON values.

        Raises:
            ConfigError: The run cannot be evaluated so.
        """
        options = known_options(EvaluationRequest, options)
        request = EvaluationRequest(**options)
        opened = None if make_env is None else environments_of(make_env)
        return evaluate_run(self.path, request, given=tuple(options), observer=observer, open_environment=opened)

    def finetune(
        self, out: str | os.PathLike[str], make_env: MakeEnv | None = None, *, resume: bool = False,
        without_offline_data: bool = False, observer: Observer | None = None, **options: Any,
    ) -> "Run":  # fmt: skip
        """Continue training online, as `surefoot finetune` does.

        Args:
            out: Folder of the fine-tuned run, made if missing.
            make_env: Gymnasium environment to act in, as in `evaluate`; None: the task's own environment.
            resume: Whether to resume the fine-tuning in the folder, which ends with the same bits.
            without_offline_data: Whether to start with an empty replay buffer, where the offline data are gone.
            observer: Is told progress and remarks; None: remarks become Python warnings.
            options: As in `FinetuneRequest`: `task` (a name, the path of a task file, or a `Task`), `steps`,
                `num_envs`, `ratio`, `online_share` and so on.

        Returns:
            The fine-tuned run.

        Raises:
            ConfigError: The run's algorithm cannot be fine-tuned, or an option cannot be used.
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
        """Measure the time of a decision, as `surefoot bench act` does.

        Args:
            observer: Is told progress and remarks; None: remarks become Python warnings.
            options: As in `LatencyRequest`: `batch`, `calls`, `seconds`, `budget`.

        Returns:
            Median, 95th and 99th percentile in milliseconds, as JSON values.
        """
        options = known_options(LatencyRequest, options)
        request = LatencyRequest(**options)
        return measure_latency(self.path, request, given=tuple(options), observer=observer)

    def report(self, out: str | os.PathLike[str] | None = None, *, observer: Observer | None = None) -> Path:
        """Write the HTML page of the run.

        Args:
            out: File to write; None: a page in the run's folder.
            observer: Is told remarks; None: remarks become Python warnings.

        Returns:
            The page.
        """
        return report(self.path, out=None if out is None else Path(out), observer=observer)

    def audit(
        self, *, data: str | os.PathLike[str] | None = None, baseline: "Run | None" = None,
        out: str | os.PathLike[str] | None = None, observer: Observer | None = None,
    ) -> AuditReport:  # fmt: skip
        """Judge the run by its held-out episodes (`held_out`) without an environment, as `surefoot audit` does.

        Args:
            data: Data of the run, where they have moved; None: their place at training.
            baseline: Run on the same data that is estimated beside it; None: none.
            out: Folder for page, figures and numbers; None: a folder in the run.
            observer: Is told progress and remarks; None: remarks become Python warnings.

        Returns:
            Page and numbers of the audit.
        """
        place, folder = (None if one is None else Path(one) for one in (data, out))
        other = None if baseline is None else baseline.path
        return write_audit(self.path, data=place, baseline=other, out=folder, observer=observer)

    def calibrate(self, *, observer: Observer | None = None, **options: Any) -> Calibration:
        """Calibrate the margins under which a level of episodes stays within budget, as `surefoot calibrate` does.

        The margins are written into the run.

        Args:
            observer: Is told progress and remarks; None: remarks become Python warnings.
            options: As in `CalibrationRequest`.

        Returns:
            The margins, with the episodes that they come from.

        Raises:
            ConfigError: The run's algorithm plans under no budget.
        """
        request = CalibrationRequest(**known_options(CalibrationRequest, options))
        found = calibrate_run(self.path, request, given=tuple(options), observer=observer or Observer())
        write_calibration(self.path, found)
        return found


def evaluate(run: Run | str | os.PathLike[str], make_env: MakeEnv | None = None, **options: Any) -> dict[str, Any]:
    """Evaluate a run, as `Run.evaluate` does.

    Args:
        run: Run, or its folder.
        make_env: Gymnasium environment to act in, as of `Run.evaluate`; None: the task's own environment.
        options: Options of `Run.evaluate`.

    Returns:
        The run's summary with the new measurements, as JSON values.
    """
    return (run if isinstance(run, Run) else Run(run)).evaluate(make_env, **options)


def finetune(
    run: Run | str | os.PathLike[str], out: str | os.PathLike[str], make_env: MakeEnv | None = None, **options: Any
) -> Run:
    """Continue training a run online, as `Run.finetune` does.

    Args:
        run: Run, or its folder.
        out: Folder of the fine-tuned run, made if missing.
        make_env: Gymnasium environment to act in, as of `Run.evaluate`; None: the task's own environment.
        options: Options of `Run.finetune`.

    Returns:
        The fine-tuned run.
    """
    return (run if isinstance(run, Run) else Run(run)).finetune(out, make_env, **options)
