"""A whole collection on a line: everything is kept, through kills, full disks and Ctrl-C; the file says what it is."""

import errno
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.data_fixtures import is_one_sentence
from tests.fake_simulators import LINE, LineSimulators

from surefoot import data, files
from surefoot.collection.card import make_card, normalized_return, targets
from surefoot.collection.collector import Collection, Progress, collect
from surefoot.collection.episodes import EpisodeCutter, episode_sums
from surefoot.collection.ppo import PPO
from surefoot.collection.recipes import NO_LIMIT, RECIPES, Recipe, cost_limit, recipe_of
from surefoot.collection.store import Store
from surefoot.data import Dataset
from surefoot.errors import CheckpointError, ConfigError, DataError
from surefoot.tasks import TASKS, get_task

LANES, ITERATION, ITERATIONS = 4, 8, 6
"""8 steps an iteration: episodes of 5 run on from one to the next. 4 lanes end 9 episodes each in 48 steps."""
RECIPE = Recipe(
    steps=LANES * ITERATION * ITERATIONS,
    lanes=LANES,
    iteration=ITERATION,
    limits=((0.0, 0.0), (0.5, 1.0), (0.5, NO_LIMIT), (1.0, NO_LIMIT)),
    learner=PPO(hidden=(4,), epochs=1, minibatch=16),
)
EPISODES = LANES * 9


def collection(folder: Path, *, recipe: Recipe = RECIPE, transitions: int = 10**6, seed: int = 0) -> Collection:
    return Collection(LINE, recipe, seed, transitions, Store.beside(folder / "line.hdf5"))


def run(what: Collection, simulators: LineSimulators) -> Dataset:
    return collect(what, lambda: simulators)[0]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A collection that nothing disturbed."""
    return run(collection(tmp_path_factory.mktemp("whole")), LineSimulators(LANES))


def check_rows(dataset: Dataset) -> None:
    """Every episode is whole, follows on and obeys the line: what the next observation says is what the action did."""
    assert (dataset.lengths == LINE.horizon).all()
    assert dataset.truncated[dataset.episode_ends - 1].all()
    assert len(dataset) == dataset.lengths.sum()
    inside = ~dataset.truncated[:-1]
    np.testing.assert_array_equal(dataset.next_observations[:-1][inside], dataset.observations[1:][inside])
    moved = dataset.next_observations[:, 0] - dataset.observations[:, 0]
    np.testing.assert_allclose(moved, dataset.actions[:, 0], atol=1e-5)
    np.testing.assert_allclose(dataset.required_rewards, dataset.actions[:, 0])
    np.testing.assert_array_equal(dataset.costs, dataset.next_observations[:, 0] > 1.0)


def starts(dataset: Dataset) -> list[float]:
    """Where each episode began: as good as its seed."""
    return dataset.observations[dataset.episode_starts, 0].tolist()


def test_every_episode_is_kept(whole: Dataset) -> None:
    check_rows(whole)
    assert len(whole.returns) == EPISODES
    assert len(set(starts(whole))) == EPISODES
    assert np.abs(whole.actions).max() <= 1.0


def test_a_seed_gives_the_same_bits_and_another_gives_others(whole: Dataset, tmp_path: Path) -> None:
    again = run(collection(tmp_path / "again"), LineSimulators(LANES))
    assert again.fingerprint() == whole.fingerprint()
    other = run(collection(tmp_path / "other", seed=1), LineSimulators(LANES))
    assert not set(starts(other)) & set(starts(whole))


def test_a_killed_collection_goes_on(whole: Dataset, tmp_path: Path) -> None:
    """Killed in the fourth iteration: three iterations are kept, the other three are simulated anew."""
    what = collection(tmp_path)
    with pytest.raises(RuntimeError, match="was killed"):
        run(what, LineSimulators(LANES, fails=3 * ITERATION + 4))
    assert len(what.store.parts()) == 3
    simulators = LineSimulators(LANES)
    dataset = run(what, simulators)
    assert simulators.steps_done == 3 * ITERATION
    check_rows(dataset)
    # 24 steps end 4 episodes a lane, twice; the first sixteen are the bits of the collection that was not killed.
    assert len(dataset.returns) == LANES * 8
    first = LANES * 4 * LINE.horizon
    np.testing.assert_array_equal(dataset.observations[:first], whole.observations[:first])
    assert len(set(starts(dataset))) == LANES * 8


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"iterations": None}, "metadata: iterations: expected"),
        ({"iterations": -1}, "metadata: iterations: expected"),
        ({"episode_cost": "x"}, "metadata: episode_cost: expected"),
        ({"starts": []}, "metadata: starts: expected"),
        ({"parts": "x"}, "metadata: parts: expected"),
        ({"wall_seconds": ...}, "metadata: wall_seconds"),
    ],
)
def test_a_learner_whose_metadata_say_nonsense_is_one_sentence(
    change: dict[str, object], part: str, whole: Dataset, tmp_path: Path
) -> None:
    what = collection(tmp_path)
    run(what, LineSimulators(LANES))
    (place,) = what.store.path.rglob("checkpoint.json")
    description = json.loads(place.read_text())
    ((name, value),) = change.items()
    if value is ...:
        del description["metadata"][name]
    else:
        description["metadata"][name] = value
    place.write_text(json.dumps(description))
    with pytest.raises(CheckpointError) as refused:
        run(what, LineSimulators(LANES))
    assert part in str(refused.value)
    assert is_one_sentence(str(refused.value))


def test_a_finished_collection_simulates_nothing_more(whole: Dataset, tmp_path: Path) -> None:
    """As after a kill while the file was being written."""
    what = collection(tmp_path)
    run(what, LineSimulators(LANES))
    simulators = LineSimulators(LANES)
    assert run(what, simulators).fingerprint() == whole.fingerprint()
    assert simulators.seeds == []
    what.store.remove()
    assert not what.store.path.exists()


def test_ctrl_c_keeps_every_whole_episode(tmp_path: Path) -> None:
    """Pressed at the 14th step, in the second iteration: two episodes a lane had ended by then."""
    what, simulators = collection(tmp_path), LineSimulators(LANES)
    step = simulators.step

    def pressing(actions: np.ndarray, next_seeds: np.ndarray):
        if simulators.steps_done == 13:
            os.kill(os.getpid(), signal.SIGINT)
        return step(actions, next_seeds)

    simulators.step = pressing
    with pytest.raises(KeyboardInterrupt):
        run(what, simulators)
    assert simulators.steps_done == 14
    kept = [what.store.read(part) for part in what.store.parts()]
    assert [len(episode_sums(columns)) for columns in kept] == [LANES, LANES]
    dataset = run(what, LineSimulators(LANES))
    check_rows(dataset)
    # The second iteration was begun again: 40 steps more end 8 a lane.
    assert len(dataset.returns) == LANES * (2 + 8)


def full_disk(monkeypatch: pytest.MonkeyPatch, *, when: Callable[[Path], bool], times: int) -> list[Path]:
    """Writing a file `when` says finds no space, the first so many times; the list of such files."""
    found: list[Path] = []
    write = files.write_bytes

    def full(path: Path, content: bytes) -> None:
        if when(path) and len(found) < times:
            found.append(path)
            path.write_bytes(content[: len(content) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write(path, content)

    monkeypatch.setattr(files, "write_bytes", full)
    return found


def third(path: Path) -> bool:
    return "000002" in path.name


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """The third iteration finds the disk full: it is kept on the space in reserve, and one sentence says so."""
    what = collection(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        found = full_disk(patch, when=third, times=1)
        with pytest.raises(
            DataError, match=r"found it full; everything collected is kept: .*same command again"
        ) as info:
            run(what, LineSimulators(LANES))
    assert len(found) == 1
    assert str(info.value).startswith(str(what.store.path))
    assert len(what.store.parts()) == 3
    assert not (what.store.path / "reserve").exists()  # it was given back
    assert not list(what.store.path.rglob("*.tmp"))
    dataset = run(what, LineSimulators(LANES))
    check_rows(dataset)
    assert (what.store.path / "reserve").stat().st_size > 0


def test_a_disk_that_stays_full_loses_only_what_does_not_fit(tmp_path: Path) -> None:
    what = collection(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        full_disk(patch, when=third, times=2)
        with pytest.raises(DataError, match="there was no room to keep the last episodes, the rest is kept"):
            run(what, LineSimulators(LANES))
    assert len(what.store.parts()) == 2
    check_rows(run(what, LineSimulators(LANES)))


def test_a_lost_simulator_costs_one_episode_begun_again(whole: Dataset, tmp_path: Path) -> None:
    """The first lane's worker dies at the 13th step, the third of its third episode: that one begins again."""
    dataset = run(collection(tmp_path), LineSimulators(LANES, lost=12))
    check_rows(dataset)
    # 2 episodes in 10 steps, lost until step 13, 7 more in the 35 that are left.
    assert len(dataset.returns) == EPISODES
    assert not np.array_equal(dataset.observations, whole.observations)


def test_another_collection_is_refused(tmp_path: Path) -> None:
    what = collection(tmp_path)
    with pytest.raises(RuntimeError, match="was killed"):
        run(what, LineSimulators(LANES, fails=1))
    with pytest.raises(ConfigError, match=r"holds another collection, collection\.seed: expected 0, found 5; remove"):
        run(collection(tmp_path, seed=5), LineSimulators(LANES))
    with what.store.opened(what.identity, reserve=1), pytest.raises(ConfigError, match="another process"):
        run(what, LineSimulators(LANES))
    with pytest.raises(ConfigError, match="transitions: expected at least 1, found 0"):
        run(collection(tmp_path, transitions=0), LineSimulators(LANES))


def test_only_what_was_collected_is_removed(whole: Dataset, tmp_path: Path) -> None:
    what = collection(tmp_path)
    run(what, LineSimulators(LANES))
    (what.store.path / "notes").write_text("mine")
    what.store.remove()
    assert [path.name for path in what.store.path.iterdir()] == ["notes"]
    with pytest.raises(ConfigError, match="expected a new folder or one of a collection to go on with"):
        run(what, LineSimulators(LANES))
    (what.store.path / "notes").unlink()
    run(what, LineSimulators(LANES))
    (what.store.path / "episodes" / ".git").mkdir()  # before, all parts stayed beside it, and no other could begin
    (what.store.path / "episodes" / ".git" / "config").write_text("mine")
    what.store.remove()
    left = [path for path in what.store.path.rglob("*") if path.is_file()]
    assert left == [what.store.path / "episodes" / ".git" / "config"]
    with what.store.opened({"another": 1}, reserve=0):
        pass


def test_a_link_among_what_was_collected_is_not_followed(tmp_path: Path) -> None:
    what, outside = collection(tmp_path), tmp_path / "outside"
    outside.mkdir()
    (outside / "000000.safetensors").write_text("mine")
    run(what, LineSimulators(LANES))
    (what.store.path / "episodes" / "000099.safetensors").symlink_to(outside / "000000.safetensors")
    (what.store.path / ".collection.json.77.tmp").symlink_to(outside)
    what.store.remove()
    assert (outside / "000000.safetensors").read_text() == "mine"


def test_too_short_a_collection_says_so_and_leaves_room_for_a_longer_one(tmp_path: Path) -> None:
    """One iteration of 2 steps ends no episode, nor do two; the store would not go on with another recipe."""
    for steps in (2, 4):
        recipe = Recipe(steps=steps * LANES, lanes=LANES, iteration=2, learner=RECIPE.learner)
        with pytest.raises(DataError, match="expected at least one whole episode, found none: simulate more steps"):
            run(collection(tmp_path, recipe=recipe), LineSimulators(LANES))


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    what = collection(tmp_path)
    run(what, LineSimulators(LANES))
    part = what.store.parts()[1]
    part.write_bytes(part.read_bytes()[:40])
    with pytest.raises(DataError, match=r"000001-\w{16}\.safetensors: expected episodes .*, found a damaged file"):
        run(what, LineSimulators(LANES))


def killed(tmp_path: Path) -> Collection:
    """A collection with three parts, the learner kept after each."""
    what = collection(tmp_path)
    with pytest.raises(RuntimeError, match="was killed"):
        run(what, LineSimulators(LANES, fails=3 * ITERATION + 4))
    assert [part.name[:6] for part in what.store.parts()] == ["000000", "000001", "000002"]
    return what


def test_a_missing_part_is_named_and_no_other_is_overwritten(tmp_path: Path) -> None:
    """Counted by files alone, the next part would get the number of the newest that is there."""
    what = killed(tmp_path)
    for missing, found in enumerate(("none", "none", "2")):
        part = what.store.parts()[missing]
        content = part.read_bytes()
        part.unlink()
        others = {path: path.read_bytes() for path in part.parent.iterdir()}
        sentence = rf"00000{missing}: expected .*, found {found}; put it back, or remove"
        with pytest.raises(DataError, match=sentence) as refusal:
            run(what, LineSimulators(LANES))
        assert is_one_sentence(str(refusal.value))
        assert {path: path.read_bytes() for path in part.parent.iterdir()} == others
        part.write_bytes(content)
    check_rows(run(what, LineSimulators(LANES)))


def test_a_changed_part_is_named_before_anything_is_simulated(tmp_path: Path) -> None:
    """The last bit of the last array: safetensors would load it."""
    what = killed(tmp_path)
    part = what.store.parts()[1]
    content = bytearray(part.read_bytes())
    content[-1] ^= 1
    part.write_bytes(content)
    simulators = LineSimulators(LANES)
    with pytest.raises(DataError, match=rf"{part.name}: expected episodes that were collected \(SHA-256 \w+\), found"):
        run(what, simulators)
    assert simulators.seeds == []


def test_a_part_is_there_once(tmp_path: Path) -> None:
    what = killed(tmp_path)
    what.store.parts()[1].with_name("000001.safetensors").write_bytes(b"")
    with pytest.raises(DataError, match="000001: expected one file of this part of the collection, found several"):
        run(what, LineSimulators(LANES))


def test_a_store_of_before_goes_on(whole: Dataset, tmp_path: Path) -> None:
    """Its parts have no hashes, its learner does not know how many there are."""
    what = killed(tmp_path)
    for part in what.store.parts():
        part.rename(part.with_name(part.name[:6] + ".safetensors"))
    description = what.store.path / "learner" / "checkpoint.json"
    written = json.loads(description.read_text())
    del written["metadata"]["parts"]
    description.write_text(json.dumps(written))
    last = what.store.parts()[-1]
    moved = last.rename(tmp_path / "last")
    with pytest.raises(DataError, match="000002: expected 3 parts, as when the learner was kept, found 2"):
        run(what, LineSimulators(LANES))
    moved.rename(last)
    dataset = run(what, LineSimulators(LANES))
    first = LANES * 4 * LINE.horizon
    np.testing.assert_array_equal(dataset.observations[:first], whole.observations[:first])


def test_runs_begin_new_learners_and_episodes(tmp_path: Path) -> None:
    """Two runs of three iterations: 24 steps end 4 episodes a lane in each."""
    recipe = Recipe(**{**RECIPE.__dict__, "runs": 2})
    reports: list[Progress] = []
    what, simulators = collection(tmp_path, recipe=recipe), LineSimulators(LANES)
    dataset, _ = collect(what, lambda: simulators, on_progress=reports.append)
    check_rows(dataset)
    assert len(dataset.returns) == LANES * 4 * 2
    assert [report.done for report in reports] == [32 * number for number in range(7)]
    assert all(report.total == 192 for report in reports)
    assert reports[0].phase == "run 1 of 2, cost limit 0.0"
    assert reports[-1].phase == "run 2 of 2, no cost limit"


# --- recipes ---------------------------------------------------------------------------------------------------------


def test_the_limit_rises_by_hand() -> None:
    """Of a reference range of 5: 0, then 1/6 of the run is a third of the way to 1; from the middle on no limit."""
    limits = [cost_limit(RECIPE, LINE, iteration=iteration) for iteration in range(ITERATIONS)]
    assert limits == pytest.approx([0.0, 5 / 3, 10 / 3, 50.0, 50.0, 50.0])


@pytest.mark.parametrize("name", sorted(name for name, recipe in RECIPES.items() if not recipe.scripted))
def test_recipes_cover_the_cost_range_and_end_without_limit(name: str) -> None:
    task, recipe = get_task(name), RECIPES[name]
    limits = [cost_limit(recipe, task, iteration=iteration) for iteration in range(recipe.iterations)]
    rising = limits[limits.index(min(limits)) :]
    assert rising == sorted(rising)
    assert min(limits) <= task.cost_limit
    falling = limits[: limits.index(min(limits)) + 1]
    assert falling == sorted(falling, reverse=True)  # of a soft or free start
    assert limits[-1] >= task.horizon  # a step costs at most 1 in these simulators
    within = [limit for limit in limits if limit <= task.cost_return_max]
    assert max(within) > 0.9 * task.cost_return_max
    assert abs(recipe.total_steps(task) - recipe.steps) < 0.02 * recipe.steps


@pytest.mark.parametrize(("name", "steps"), [("PointGoal1", 354_000), ("CarGoal2", 240_000)])
def test_navigation_keeps_nearly_all_of_its_episodes(name: str, steps: int) -> None:
    # 22 rounds of 12 episodes of 1,000 steps and 15 iterations of 12 x 500 steps; 15 rounds and 10 iterations.
    recipe = recipe_of(get_task(name))
    assert recipe.total_steps(get_task(name)) == steps
    assert 0.9 * steps < recipe.transitions < steps


def test_every_simulated_task_has_a_recipe() -> None:
    assert set(RECIPES) == {task.recipe or name for name, task in TASKS.items() if task.simulated} & set(RECIPES)
    assert recipe_of(get_task("AntRun")) == Recipe()
    assert recipe_of(get_task("OfflineBallRun-v0")) == RECIPES["BallRun"]


# --- episodes --------------------------------------------------------------------------------------------------------


def test_episodes_are_cut_across_calls_and_lost_ones_dropped() -> None:
    """One column that counts; two lanes. Lane 0 ends at 1 and 4, lane 1 is lost at 2 and ends at 4."""
    cutter = EpisodeCutter(2)

    def cut(first: int, ends: list[list[int]], lost: list[list[int]]) -> list[list[int]]:
        rows = np.array([[step, 10 + step] for step in range(first, first + len(ends))])
        flags = {"terminated": np.array(ends, bool), "truncated": np.zeros((len(ends), 2), bool)}
        found = cutter.cut({"rows": rows, **flags}, restarted=np.array(lost, bool))
        return [episode["rows"].tolist() for episode in found]

    assert cut(0, [[0, 0], [1, 0], [0, 0]], [[0, 0], [0, 0], [0, 1]]) == [[0, 1]]
    assert cut(3, [[0, 0], [1, 1]], [[0, 0], [0, 0]]) == [[2, 3, 4], [13, 14]]


# --- card ------------------------------------------------------------------------------------------------------------


def test_the_card_counts_what_the_file_holds(tmp_path: Path) -> None:
    what = collection(tmp_path, transitions=40)
    dataset, made = collect(what, lambda: LineSimulators(LANES))
    card = make_card(dataset, LINE, transitions=40, made=made)
    data.save(tmp_path / "line.hdf5", dataset, card=card)
    read = data.read_card(tmp_path / "line.hdf5")
    assert read == json.loads(json.dumps(card))
    assert read["origin"] == "recreated by Surefoot, not the published file"
    assert read["seed"] == 0
    assert read["episodes_collected"] == EPISODES
    assert read["transitions_collected"] == EPISODES * LINE.horizon
    assert read["hyperparameters"]["learner"]["epochs"] == 1
    found = read["coverage"]
    assert found["transitions"] == len(dataset) >= 40
    assert found["best_normalized_return"] == pytest.approx(dataset.returns.max() / 5.0)
    safe = dataset.cost_returns <= LINE.cost_limit
    assert found["safe_episodes"] == safe.sum()
    assert found["safe_episode_share"] == pytest.approx(safe.mean())
    assert found["best_safe_normalized_return"] == pytest.approx(dataset.returns[safe].max() / 5.0)
    assert sum(found["episodes_per_cost_bin"]) == len(dataset.returns)
    # An untrained policy goes nowhere near the best return: the card says so itself.
    assert [row["name"] for row in read["targets"] if not row["met"]] != []
    assert len(read["falls_short"]) == len([row for row in read["targets"] if not row["met"]])


def test_targets_are_compared_not_claimed() -> None:
    found = {
        "transitions": 100, "cost_bins_reached": 7, "safe_episode_share": 0.049, "best_safe_normalized_return": None,
        "best_normalized_return": 0.85,
    }  # fmt: skip
    rows = targets(found, get_task("BallCircle"), transitions=100)
    assert [row["met"] for row in rows] == [True, False, False, False, True]
    assert [row["wanted"] for row in rows] == [100, 8, 0.05, 0.5, 0.85]
    assert targets(found, get_task("CarRun"), transitions=100)[3]["wanted"] == 0.7
    task = get_task("BallRun")
    assert normalized_return(task, np.array([task.return_min, task.return_max])).tolist() == [0.0, 1.0]
