"""Scripted drivers: what they see in a lidar, where they go, and how their episodes become part of a collection."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.fake_simulators import LINE, LineSimulators

from surefoot.collection import driving
from surefoot.collection.collection import Collection
from surefoot.collection.collector import collect
from surefoot.collection.navigation import (
    BINS,
    REACH,
    NavigationDriver,
    Temper,
    _to_push,
    lidar_point,
    lidar_points,
    view,
)
from surefoot.collection.ppo import PPO
from surefoot.collection.recipes import Recipe, recipe_of
from surefoot.collection.scripted import play_round
from surefoot.collection.store import Store
from surefoot.envs.simulators import make
from surefoot.envs.simulators.surroundings import free_heading
from surefoot.errors import ConfigError
from surefoot.tasks import TASKS, Reference, Task, get_task

LANES = 4
RECIPE = Recipe(
    steps=80, scripted=0.5, lanes=LANES, iteration=8, learner=PPO(hidden=(4,), epochs=1, minibatch=16)
)  # fmt: skip
"""Two rounds of one scripted episode a lane, then an iteration of a learner, in which each lane ends one: 72 steps."""


def lidar(*places: tuple[float, float]) -> np.ndarray:
    """What Safety-Gymnasium's lidar reads of things at `places`, in metres: its formula."""
    readings = np.zeros(BINS)
    for x, y in places:
        turns = (np.arctan2(y, x) / (2.0 * np.pi)) % 1.0 * BINS
        at, share = int(turns), turns - int(turns)
        reading = max(0.0, REACH - np.hypot(x, y)) / REACH
        for place, value in ((at, reading), (at + 1, share * reading), (at - 1, (1.0 - share) * reading)):
            readings[place % BINS] = max(readings[place % BINS], value)
    return readings


def observation(*, velocity: tuple[float, float] = (0.0, 0.0), own: int = 12, lidars: list[np.ndarray]) -> np.ndarray:
    numbers = np.zeros(own)
    numbers[3:5] = velocity
    return np.concatenate([numbers, *lidars])


@pytest.mark.parametrize("place", [(1.0, 0.3), (-0.7, 2.1), (0.2, -0.1), (-1.5, -0.01)])
def test_a_lidar_tells_exactly_where_one_thing_is(place: tuple[float, float]) -> None:
    found = lidar_point(lidar(place))
    assert found is not None
    np.testing.assert_allclose(found, place, atol=1e-9)
    np.testing.assert_allclose(lidar_points(lidar(place)), [place], atol=1e-9)


def test_two_things_apart_are_two_and_nothing_is_none() -> None:
    found = lidar_points(lidar((1.0, 0.3), (-0.7, 2.1)))
    np.testing.assert_allclose(sorted(found.tolist()), [[-0.7, 2.1], [1.0, 0.3]], atol=1e-9)
    assert lidar_point(lidar()) is None
    assert lidar_points(lidar()).shape == (0, 2)


def test_a_view_is_in_the_robots_frame() -> None:
    """A car's front is to the right of its frame's x: what lies at -y there is ahead."""
    lidars = [lidar((1.0, 0.5)), lidar((0.5, -0.6)), lidar()]
    point = view("Point", "Goal1", observation(velocity=(0.3, 0.1), lidars=lidars))
    np.testing.assert_allclose(point.target, (1.0, 0.5), atol=1e-9)
    np.testing.assert_allclose(point.velocity, (0.3, 0.1))
    np.testing.assert_allclose(point.radii, [0.2])
    car = view("Car", "Goal1", observation(velocity=(0.0, -0.4), own=24, lidars=lidars))
    np.testing.assert_allclose(car.target, (-0.5, 1.0), atol=1e-9)
    np.testing.assert_allclose(car.dangers, [(0.6, 0.5)], atol=1e-9)
    np.testing.assert_allclose(car.velocity, (0.4, 0.0))


def test_the_right_button_is_no_danger_and_the_wrong_one_is() -> None:
    right, wrong = (1.0, 0.5), (-1.0, 0.4)
    seen = view("Point", "Button1", observation(lidars=[lidar(right, wrong), lidar(right), lidar(), lidar()]))
    np.testing.assert_allclose(seen.dangers, [wrong], atol=1e-9)
    np.testing.assert_allclose(seen.radii, [0.1 + 0.13])


@pytest.mark.parametrize(("name", "ahead"), [("PointGoal1", (1.0, 0.0)), ("CarGoal1", (0.0, -1.0))])
def test_a_view_is_what_the_simulator_knows(name: str, ahead: tuple[float, float]) -> None:
    """The goal's place in the frame of a robot whose front is `ahead` in the simulator's."""
    env = make(get_task(name))
    observation, _ = env.reset(seed=3)
    task = env._backend._env.task  # pyright: ignore[reportAttributeAccessIssue]
    offset = (task.goal.pos - task.agent.pos)[:2] @ task.agent.mat[:2, :2]
    np.testing.assert_allclose(view(name[: -len("Goal1")], "Goal1", observation).target[0], offset @ ahead, atol=1e-5)
    env.close()


def driver_of(name: str) -> NavigationDriver:
    task = get_task(name)
    assert task.driver is not None
    return task.driver(task, np.random.default_rng(0))


def test_the_careful_keep_clear_and_the_bold_go_straight() -> None:
    """A hazard of radius 0.2 half way to a goal straight ahead."""
    seen = observation(lidars=[lidar((1.5, 0.001)), lidar((0.7, 0.001)), lidar()])
    angle = free_heading(view("Point", "Goal1", seen), np.array([1.5, 0.0]), clearance=0.1, sliding=0.15)
    assert 0.7 * abs(np.sin(angle)) >= 0.3 - 1e-6  # past the hazard at its radius and the clearance
    drivers = [driver_of("PointGoal1") for _ in range(2)]
    drivers[0].temper = Temper("careful", 0.1, 1.0, 1.0, noise=0.0, random_share=0.0)
    drivers[1].temper = Temper("bold", 0.1, 1.0, 1.0, noise=0.0, random_share=0.0)
    careful, bold = (driver.act(seen) for driver in drivers)
    assert abs(careful[1]) > 0.5
    assert abs(bold[1]) < 0.01
    assert bold[0] == 1.0


def test_a_goal_behind_is_gone_to_backwards_and_a_box_is_not() -> None:
    goal = driver_of("PointGoal1")
    push = driver_of("PointPush1")
    goal.temper = push.temper = Temper("bold", 0.1, 1.0, 1.0, noise=0.0, random_share=0.0)
    back = goal.act(observation(lidars=[lidar((-1.5, 0.001)), lidar(), lidar()]))
    assert back[0] == -1.0
    assert abs(back[1]) < 0.01
    box, beyond = lidar((-1.0, 0.001)), lidar((-2.0, 0.001))
    turning = push.act(observation(lidars=[beyond, lidar(), lidar(), box]))
    assert turning[0] == 0.0
    assert abs(turning[1]) == 1.0


def test_the_lured_go_to_the_nearest_danger() -> None:
    driver = driver_of("PointGoal1")
    driver.temper = Temper("lured", 0.1, 1.0, 1.0, noise=0.0, random_share=0.0, lure=1.0)
    action = driver.act(observation(lidars=[lidar((-1.5, 0.5)), lidar((0.7, 0.001), (0.0, -2.0)), lidar()]))
    assert action[0] == 1.0
    assert abs(action[1]) < 0.01


def test_a_box_is_pushed_from_behind() -> None:
    """Behind it, on through it; in front of it, around it at half a metre."""
    np.testing.assert_allclose(_to_push(np.array([1.0, 0.0]), np.array([2.0, 0.0])), (1.2, 0.0))
    around = _to_push(np.array([1.0, 0.0]), np.array([-1.0, 0.0]))
    assert np.hypot(*(around - (1.0, 0.0))) == pytest.approx(0.5)
    assert abs(around[1]) > 0.3


def road(*others: tuple[float, float], left: float = 1.75, width: float = 10.5, speed: float = 20.0) -> np.ndarray:
    """An observation of MetaDrive: cars as single readings at `others`, metres ahead and to the right."""
    numbers = np.concatenate([np.zeros(19), np.ones(driving.LIDAR)])
    numbers[:4] = left / 18.0, (width - left) / 18.0, 0.5, (speed + 1.0) / 81.0
    for ahead, right in others:
        place = round(np.arctan2(right, ahead) / (2.0 * np.pi) * driving.LIDAR) % driving.LIDAR
        numbers[19 + place] = np.hypot(ahead, right) / driving.REACH
    return numbers


def road_action(observation: np.ndarray, **changes: float) -> np.ndarray:
    driver = driving.RoadDriver(get_task("easysparse"), np.random.default_rng(0))
    driver.temper = driving.Temper(30.0, 1.0, False, False, 0.0, 0.0, 0.0)._replace(**changes)
    driver._wanted = driver.temper.speed
    return driver.act(observation)


def test_what_a_driver_sees_of_the_road() -> None:
    seen = driving.view(road((20.0, 0.0), (0.0, 3.5)))
    assert (seen.left, seen.width, seen.turn, seen.speed) == pytest.approx((1.75, 10.5, 0.0, 20.0))
    np.testing.assert_allclose(sorted(seen.around.tolist()), [[0.0, 3.5], [20.0, 0.0]], atol=1e-6)
    assert driving.gap_ahead(seen, 0.0) == pytest.approx(20.0)
    assert driving.gap_ahead(seen, -3.5) == driving.REACH


def test_a_driver_holds_its_distance_or_not() -> None:
    """Wants 30 km/h at 20. Ten metres ahead a car: 5 m of way in a second are 18 km/h, 2 less than now."""
    free, held = road_action(road()), road_action(road((10.0, 0.0)))
    np.testing.assert_allclose([free[1], held[1]], [0.7, -0.24], atol=1e-6)
    assert road_action(road((10.0, 0.0)), gap=0.0)[1] == pytest.approx(0.7)


def test_a_driver_steers_to_the_middle_of_its_lane() -> None:
    assert road_action(road())[0] == pytest.approx(0.0)
    assert road_action(road(left=2.25))[0] > 0.05  # too far right: to the left
    assert road_action(road(left=1.25))[0] < -0.05


def test_a_held_up_driver_changes_to_a_free_lane() -> None:
    """From the left lane to the middle one on the right, unless something is beside."""
    assert road_action(road((10.0, 0.0)), overtakes=True)[0] < -0.2
    assert road_action(road((10.0, 0.0), (0.0, 3.5)), overtakes=True)[0] == pytest.approx(0.0)
    assert road_action(road((10.0, 0.0)))[0] == pytest.approx(0.0)


def test_who_has_drivers() -> None:
    assert get_task("CarPush2").driver is not None
    assert get_task("PointCircle1").driver is None
    assert get_task("PointGoal1Vision").driver is None
    with_drivers = {name for name, task in TASKS.items() if task.driver is not None}
    assert all((recipe_of(TASKS[name]).scripted > 0.0) == (name in with_drivers) for name in TASKS)


# --- in a collection -------------------------------------------------------------------------------------------------


class Walker:
    """Goes right at a pace of its own, with noise."""

    def __init__(self, task: Task, generator: np.random.Generator) -> None:
        self.generator = generator
        self.pace = generator.uniform()

    def act(self, observation: np.ndarray) -> np.ndarray:
        return np.array([self.pace + self.generator.normal()])


WALKED = replace(LINE, driver=Reference(f"{__name__}:Walker"))


def begin(folder: Path, *, recipe: Recipe = RECIPE, task: Task = WALKED) -> Collection:
    return Collection(task, recipe, 0, 10**6, Store.beside(folder / "line.hdf5"))


def play(simulators: LineSimulators, *, interrupted=lambda: False):
    return play_round(LINE, Walker, simulators, lanes=LANES, seeds=(0, 0), interrupted=interrupted)


def test_a_round_is_one_whole_episode_a_lane() -> None:
    simulators = LineSimulators(LANES)
    episodes, whole = play(simulators)
    assert whole
    assert len(episodes) == LANES
    assert all(len(episode["rewards"]) == LINE.horizon and episode["truncated"][-1] for episode in episodes)
    assert len(set(simulators.seeds)) == LANES


def test_a_lost_lane_plays_its_episode_again() -> None:
    """The first lane's process dies in the third step: the same episode, three steps later; the others as they were."""
    undisturbed, _ = play(LineSimulators(LANES))
    episodes, whole = play(LineSimulators(LANES, lost=2))
    assert whole
    order = [episodes[-1], *episodes[:-1]]  # it ends last
    for episode, expected in zip(order, undisturbed, strict=True):
        np.testing.assert_array_equal(episode["actions"], expected["actions"])
        np.testing.assert_array_equal(episode["observations"], expected["observations"])


def test_scripted_episodes_come_first_and_the_card_counts_them(tmp_path: Path) -> None:
    dataset, made = collect(begin(tmp_path), lambda: LineSimulators(LANES))
    assert made["recipe"].startswith("whole episodes of scripted drivers")
    assert made["simulated_steps"] == RECIPE.total_steps(LINE) == 2 * LANES * LINE.horizon + LANES * 8
    assert len(dataset) == 3 * LANES * LINE.horizon
    assert made["behaviours"] == [
        {"name": "scripted drivers", "episodes_collected": 8, "episodes": [0, 8]},
        {"name": "PPO-Lagrangian", "episodes_collected": 4, "episodes": [8, 12]},
    ]
    alone, _ = play(LineSimulators(LANES))
    np.testing.assert_array_equal(dataset.actions[: LINE.horizon], alone[0]["actions"])
    again, _ = collect(begin(tmp_path / "again"), lambda: LineSimulators(LANES))
    assert again.fingerprint() == dataset.fingerprint()


def test_all_may_be_scripted(tmp_path: Path) -> None:
    recipe = Recipe(steps=LANES * LINE.horizon, scripted=1.0, lanes=LANES, iteration=LINE.horizon)
    dataset, made = collect(begin(tmp_path, recipe=recipe), lambda: LineSimulators(LANES))
    assert len(dataset.returns) == LANES
    assert [one["name"] for one in made["behaviours"]] == ["scripted drivers"]
    assert "PPO" not in made["recipe"]


def test_a_collection_that_was_killed_among_scripted_episodes_goes_on(tmp_path: Path) -> None:
    """In the second round: the first is kept, and the whole is what it would have been."""
    whole, _ = collect(begin(tmp_path / "whole"), lambda: LineSimulators(LANES))
    what = begin(tmp_path)
    with pytest.raises(RuntimeError, match="was killed"):
        collect(what, lambda: LineSimulators(LANES, fails=LINE.horizon + 2))
    assert len(what.store.parts()) == 1
    resumed, made = collect(what, lambda: LineSimulators(LANES))
    assert resumed.fingerprint() == whole.fingerprint()
    assert made["behaviours"][0]["episodes_collected"] == 8


def test_ctrl_c_among_scripted_episodes_keeps_what_ended(tmp_path: Path) -> None:
    """Pressed as the first round's last step begins: its four episodes are kept, and played episodes come on top."""
    what, simulators = begin(tmp_path), LineSimulators(LANES)
    step = simulators.step

    def pressing(actions: np.ndarray, next_seeds: np.ndarray):
        if simulators.steps_done == LINE.horizon - 1:
            os.kill(os.getpid(), signal.SIGINT)
        return step(actions, next_seeds)

    simulators.step = pressing
    with pytest.raises(KeyboardInterrupt):
        collect(what, lambda: simulators)
    _, made = collect(what, lambda: LineSimulators(LANES))
    assert made["behaviours"][0] == {"name": "scripted drivers", "episodes_collected": 12, "episodes": [0, 12]}


def test_a_task_without_drivers_refuses_a_scripted_part(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected scripted = 0 for BallRun, which has no scripted drivers"):
        begin(tmp_path, task=get_task("BallRun"))


def test_collections_of_before_scripted_drivers_go_on(tmp_path: Path) -> None:
    assert "scripted" not in begin(tmp_path, recipe=Recipe()).identity["recipe"]
    assert begin(tmp_path).identity["recipe"]["scripted"] == 0.5
