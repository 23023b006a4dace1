"""`surefoot audit`: fitted-Q evaluation, signs of V_h and Q_h, the verdict, the files, and runs that are refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy import stats
from tests.corridor import HORIZON, Creeper, Walker, corridor, corridor_run, know_the_corridor
from tests.data_fixtures import is_one_sentence

from surefoot import data
from surefoot.audit.audit import audit
from surefoot.audit.episodes import ConstraintSteps, Part, audited_episodes
from surefoot.audit.fqe import LoggedSteps, fitted_q, logged_sums
from surefoot.audit.rollouts import rolled_out
from surefoot.audit.signs import calibration, chosen_episodes, exact_interval, violations_called_feasible, warning
from surefoot.cli.main import main
from surefoot.data import Dataset
from surefoot.data.selection import kept_aside
from surefoot.report.audit_page import write_audit
from surefoot.report.audit_words import audit_checks, audit_verdict, value_rows
from surefoot.tasks.read_task_file import read_task_file
from surefoot.training import RunDirectory

# --- fitted-Q evaluation ---


def steps_of(dataset: Dataset, *, action: float = -0.5) -> LoggedSteps:
    assert dataset.rewards is not None
    starts = np.asarray(dataset.episode_starts)
    return LoggedSteps(
        dataset.observations, dataset.actions, dataset.next_observations,
        np.full_like(dataset.actions, action), dataset.terminated,
        np.stack([dataset.rewards, dataset.costs], 1), starts, np.full((len(starts), 1), action, np.float32),
    )  # fmt: skip


@pytest.mark.parametrize("action", [-0.5, 0.5])
def test_a_policy_that_never_acted_in_the_log_is_valued_from_it(action: float) -> None:
    """From x it earns the sum over t = 1..10 of x + 0.1 a t: 10 x + 5.5 a; the log earned 10 x on average. An average
    over 20 of 1,200 steps blurs what an action does by a third."""
    steps = steps_of(corridor(), action=action)
    first = steps.observation[steps.starts, 0]
    found = fitted_q(steps, horizon=HORIZON, resamples=20)
    assert found.mean[0] == pytest.approx(10 * first.mean() + 5.5 * action, abs=1.2)
    path = first[:, None] + 0.1 * action * np.arange(1, HORIZON + 1)
    assert found.mean[1] == pytest.approx((path > 1).sum(1).mean(), abs=0.8)
    assert found.mean[1] * action > logged_sums(steps).mean(0)[1] * action  # dearer forward, cheaper back
    # What the mean of 120 starts leaves open: 10 * 2.2 / sqrt(12) / sqrt(120) = 0.58.
    assert found.resampled[:, 0].std() == pytest.approx(0.58, rel=0.5)


def test_nothing_follows_where_an_episode_terminated() -> None:
    dataset = corridor(20)
    ended = replace(
        dataset, terminated=np.ones(200, bool), truncated=np.zeros(200, bool), rewards=np.ones(200, np.float32)
    )
    found = fitted_q(steps_of(ended), horizon=HORIZON, resamples=3)
    np.testing.assert_allclose(found.mean[0], 1.0)
    truncated = replace(dataset, rewards=np.ones(200, np.float32))
    np.testing.assert_allclose(fitted_q(steps_of(truncated), horizon=4, resamples=3).mean[0], 4.0)


def test_estimates_are_averages_of_logged_gains() -> None:
    """However long the horizon: at most its length times the largest gain of a step."""
    steps = steps_of(corridor(20), action=1.0)
    found = fitted_q(steps, horizon=500, resamples=2)
    assert (found.mean <= 500 * steps.gains.max(0)).all()


# --- a model of the log ---


@pytest.mark.parametrize("action", [-0.5, 0.5])
def test_episodes_in_a_model_of_the_log_go_where_the_policy_goes(action: float) -> None:
    """As above, where fitted-Q evaluation is blurred by a third: 10 x + 5.5 a from x, and the steps beyond 1."""
    steps = steps_of(corridor())
    first = steps.observation[steps.starts][::4]
    sums = rolled_out(steps, lambda seen, _: np.full((len(seen), 1), action), first, horizon=HORIZON)
    path = first[:, :1] + 0.1 * action * np.arange(1, HORIZON + 1)
    np.testing.assert_allclose(sums[:, 0].mean(), path.sum(1).mean(), atol=0.15)
    np.testing.assert_allclose(sums[:, 1].mean(), (path > 1).sum(1).mean(), atol=0.15)


def test_an_episode_that_ends_in_part_goes_on_in_part() -> None:
    """Half of the steps end an episode, whatever the state: 1 + 1/2 + 1/4 + ... steps."""
    dataset = corridor(60)
    ended = np.random.default_rng(0).uniform(size=600) < 0.5
    steps = steps_of(replace(dataset, terminated=ended, truncated=~ended, rewards=np.ones(600, np.float32)))
    steps = steps._replace(starts=np.arange(0, 600, 10))
    first = steps.observation[steps.starts]
    sums = rolled_out(steps, lambda seen, _: np.zeros((len(seen), 1)), first, horizon=HORIZON)
    assert sums[:, 0].mean() == pytest.approx(2.0, abs=0.4)
    assert rolled_out(steps, lambda seen, _: np.zeros((len(seen), 1)), first, horizon=1)[:, 0].mean() == 1.0


# --- signs ---


@pytest.mark.parametrize(("successes", "trials"), [(0, 59), (3, 40), (40, 40)])
def test_the_interval_is_the_exact_one(successes: int, trials: int) -> None:
    expected = stats.binomtest(successes, trials).proportion_ci()
    assert exact_interval(successes, trials) == pytest.approx([expected.low, expected.high])
    assert exact_interval(0, 0) is None


def three_episodes() -> Dataset:
    """Of 10 steps each: a violation in step 4, one in step 0, none."""
    dataset = corridor(3)
    h = np.full(30, -1.0, np.float32)
    h[[4, 10]] = 0.5
    return replace(dataset, constraints=h, costs=(h > 0).astype(np.float32))


def test_warnings_are_counted_to_the_first_violation_and_a_miss_is_one_without() -> None:
    feasible = np.ones((1, 30), bool)
    feasible[0, 2:5] = False
    found = warning(three_episodes(), feasible)
    assert (found["episodes"], found["missed"], found["counts"]) == (2, 0.5, {"0": 1, "3": 1})
    assert found["steps"] == {"tenth": 0.0, "median": 0.0, "nine_tenths": 3.0}
    assert found["missed_interval"] == pytest.approx(exact_interval(1, 2))
    nothing = warning(replace(three_episodes(), constraints=np.full(30, -1, np.float32)), feasible)
    assert (nothing["episodes"], nothing["missed"]) == (0, None)


def test_each_constraint_has_violations_of_its_own() -> None:
    episodes = three_episodes()
    first, second = np.zeros(30, bool), np.zeros(30, bool)
    first[4], second[10:12] = True, True
    part = Part(
        episodes,
        (ConstraintSteps("speed", None, first, first * 1.0), ConstraintSteps("trip", 0.0, second, second * 1.0)),
    )
    entered, actions = np.zeros((1, 30), bool), np.zeros((1, 30), bool)
    entered[0, 11], actions[0, 4] = True, True
    speed, trip = violations_called_feasible(part, entered, actions)
    assert (speed["steps"], speed["state_feasible"]["share"], speed["action_feasible"]["share"]) == (1, 0.0, 1.0)
    assert (trip["episodes"], trip["state_feasible"]["share"], trip["action_feasible"]["share"]) == (1, 0.5, 0.0)
    assert violations_called_feasible(part, entered, None)[0]["action_feasible"] is None


def test_alarms_that_the_log_got_away_from_are_refuted() -> None:
    values = np.full((1, 30), -1.0)
    values[0, [3, 4, 20, 21]] = 1.0  # two before the violation of the first episode, two in the safe one
    found = calibration(three_episodes(), values, np.zeros(1))
    assert (found["alarms"], found["refuted"]) == (pytest.approx(4 / 30), 0.5)
    # Followed by a violation: rows 0 to 4 and 10. 2 of 6 above, of 24 others 2: (2 * 22 + 2 * 2 / 2 + 4 * 22 / 2) / 144
    assert found["ranks"] == pytest.approx((2 * 22 + 2 + 44) / 144)
    assert list(chosen_episodes(three_episodes(), values[0] <= 0)) == [1, 0, 2]


# --- a run ---


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    know_the_corridor(monkeypatch)


def test_a_good_run_passes_and_its_files_say_the_same(
    known: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = corridor_run(tmp_path)
    assert main(["audit", str(run), "--strict"]) == 0
    said = capsys.readouterr().out
    values = json.loads((run / "audit" / "audit.json").read_text())
    assert values["doubtful"] is False, values["verdict"]
    assert all(sentence in said for sentence in values["verdict"])
    assert "59 of them without a violation would say at most 5%" in said
    assert values["data"] == {**values["data"], "path": "data.hdf5", "episodes": {"held_out": 24, "training": 96}}
    page = (run / "audit" / "audit.html").read_text()
    assert values["verdict"][0] in page
    assert str(tmp_path) not in page
    assert sorted(path.name for path in (run / "audit").iterdir()) == [
        "audit.html", "audit.json", "calibration.png", "episodes.png",
    ]  # fmt: skip


def test_values_that_call_violations_feasible_are_doubtful(
    known: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = corridor_run(tmp_path, algorithm=Creeper(blind=True))
    assert main(["audit", str(run), "--strict"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: Verdict of the log: doubtful")
    assert "Logged actions into a violation that Q_h calls feasible".lower() in error.lower()
    assert is_one_sentence(error)


def test_a_dearer_policy_is_doubtful(known: None, tmp_path: Path) -> None:
    """Of states and actions its values tell the truth; that it drives forward, only its estimated cost shows."""
    run = corridor_run(tmp_path, gain=-2.0)
    found = audit(run).figures
    checks = {check.name: check.met for check in audit_checks(found)}
    assert checks["Estimated cost of h less the log's"] is False
    assert checks["Cost of h in a model of the log, less the log's"] is False
    assert found["values"]["h"]["policy"]["mean"] > found["values"]["h"]["log"]["mean"]
    assert [row["per episode"] for row in value_rows(found)] == ["return", "cost of h"]


def test_a_method_without_values_is_judged_on_its_actions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    know_the_corridor(monkeypatch, algorithm=Walker)
    run = corridor_run(tmp_path, algorithm=Walker())
    found = write_audit(run)
    assert found.values["verdict"][0].startswith("No verdict on states; ")
    assert "Not offered: signs, warnings and calibration: the method has no feasible value." in found.verdict
    assert not list(found.folder.glob("*.png"))
    assert "violations" not in found.values


def test_a_baseline_stands_beside_the_run(known: None, tmp_path: Path) -> None:
    run, other = corridor_run(tmp_path), corridor_run(tmp_path / "other", gain=0.0)
    found = audit(run, baseline=other).figures
    row = value_rows(found)[0]
    assert list(row) == ["per episode", "policy", "log", "policy less log", "policy in a model of the log", "creeper"]
    difference = found["baseline"]["values"]["return"]["policy"]["mean"] - found["values"]["return"]["policy"]["mean"]
    assert difference == pytest.approx(2.75, abs=1.2)  # blurred, as above
    apart = corridor_run(tmp_path / "apart", held_out=0.1)
    code = main(["audit", str(run), "--baseline", str(apart)])
    assert code == 2


def test_data_that_moved_are_named_and_a_doubtful_verdict_is_no_error(
    known: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = corridor_run(tmp_path, algorithm=Creeper(blind=True))
    (tmp_path / "far" / "away" / "off").mkdir(parents=True)
    moved = tmp_path / "far" / "away" / "off" / "log.hdf5"
    shutil.move(tmp_path / "data.hdf5", moved)
    other = tmp_path / "other"
    assert main(["audit", str(run), "--data", str(moved), "--out", str(other), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["data"]["path"], values["doubtful"]) == ("log.hdf5", True)
    assert json.loads((other / "audit.json").read_text()) == values


# --- what is refused ---


def test_runs_that_cannot_be_audited_are_refused_in_one_sentence(
    known: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = corridor_run(tmp_path)
    data.save(tmp_path / "others.hdf5", corridor(seed=1))
    without = corridor_run(tmp_path / "without", held_out=0.0)
    cases = [
        ([str(without)], "expected a share of the episodes that training never saw, found none; train with --held-out"),
        ([str(run), "--data", str(tmp_path / "others.hdf5")], "holds other data than those that"),
        ([str(run), "--data", str(tmp_path / "nowhere.hdf5")], "expected an HDF5 file, found nothing"),
        ([str(tmp_path / "nothing")], "expected"),
        ([str(run), "--out", str(tmp_path / "others.hdf5")], "expected a folder to write to"),
        ([str(run), "--limit", "3"], "unknown option '--limit'"),
    ]
    for words, sentence in cases:
        assert main(["audit", *words]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert sentence in error
        assert is_one_sentence(error), error
    (tmp_path / "data.hdf5").unlink()
    assert main(["audit", str(run)]) == 2
    assert "; name them with --data." in capsys.readouterr().err
    assert not (run / "audit").exists()


def test_the_verdict_names_what_it_did_not_look_at() -> None:
    """No constraint is violated in the held-out episodes: nothing was there to judge."""
    share = {"share": 0.1, "interval": [0.0, 0.2], "per_seed": [0.1]}
    none = {"share": None, "interval": None, "per_seed": [None]}
    part = dict.fromkeys(("violating_feasible", "warned"), none)
    part |= dict.fromkeys(("fallback_safe", "fallback", "far_actions"), share)
    part |= {"safe_feasible": {"share": 0.9, "interval": [0.8, 1.0], "per_seed": [0.9]}}
    row = {"name": "h", "episodes": 0, "steps": 0, "state_feasible": none, "action_feasible": none}
    found = {
        "judged": {"training": part, "held_out": part}, "violations": [row], "not_offered": [],
        "data": {"episodes": {"held_out": 20, "training": 30}},
    }  # fmt: skip
    first = audit_verdict(found)[0]
    assert first == (
        "Verdict of the log: nothing speaks against the policy in 3 of 6 checks; the others had nothing to judge."
    )


# --- several constraints ---

TWO = """
[task]
name = "Corridor"
horizon = 10
deterministic = true
[observation]
columns = ["x", "idle"]
[action]
columns = ["a"]
low = [-1.0]
high = [1.0]
[reward]
column = "r"
[[constraint]]
name = "end"
expression = "x - 1"
[[constraint]]
name = "toll"
column = "toll"
kind = "cost"
limit = 2
[episodes]
by = "episode"
"""


def test_constraints_of_a_task_file_are_audited_by_name(known: None, tmp_path: Path) -> None:
    (tmp_path / "corridor.toml").write_text(TWO)
    file = read_task_file(tmp_path / "corridor.toml")
    run = corridor_run(tmp_path, task_file=file.as_json())
    whole = corridor()
    assert whole.constraints is not None
    toll = np.where(whole.actions[:, 0] > 0, 0.5, 0.0)
    with h5py.File(tmp_path / "data.hdf5", "r+") as hdf5:
        hdf5["constraint_signals"] = np.stack([whole.constraints, toll], 1).astype(np.float32)
    directory = RunDirectory(run)
    episodes = audited_episodes(directory, directory.read_config())
    end, cost = episodes.held_out.constraints
    held = episodes.held_out.episodes
    assert (end.name, end.limit, cost.name, cost.limit) == ("end", None, "toll", 2.0)
    assert held.constraints is not None
    np.testing.assert_array_equal(end.violated, held.constraints > 0)
    np.testing.assert_array_equal(cost.cost, np.where(held.actions[:, 0] > 0, 0.5, 0.0))
    np.testing.assert_array_equal(held.observations, directory_held_out(directory, whole).observations)
    assert len(episodes.training.constraints[1].cost) == len(episodes.training.episodes) == 960


def directory_held_out(directory: RunDirectory, whole: Dataset) -> Dataset:
    found = kept_aside(whole, directory.read_config().data_selection)
    assert found is not None
    return found
