"""The 38 tasks of the DSRL benchmark (Liu et al., DMLR 2024, arXiv 2306.09303): ids, files, sizes, reference scores.

Facts of the benchmark (liuzuxin/DSRL, Apache-2.0); dimensions of navigation and Bullet tasks as read from the
simulators. Reference returns and costs keep the benchmark's own digits, so that scores agree with
published ones.
"""

from dataclasses import replace
from typing import Literal

from surefoot.tasks.constraint import CostLimit
from surefoot.tasks.environment import Environment
from surefoot.tasks.reference import Argument, Reference
from surefoot.tasks.task import D4RLData, Task

_Suite = Literal["bullet_safety_gym", "safety_gymnasium", "metadrive"]

# name, observation_dim, action_dim, horizon, return_min, return_max, cost_return_min, cost_return_max,
# cost bound of the published file, its trajectories
_Row = tuple[str, int, int, int, float, float, float, float, int, int]

# fmt: off
_BULLET: tuple[_Row, ...] = (
    ("AntCircle", 34, 8, 500, 0.0177031010389328, 460.7091979980469, 0.0, 200.0, 200, 5728),
    ("AntRun", 33, 8, 200, 0.001767391717990563, 955.4818725585938, 0.0, 150.0, 150, 1816),
    ("BallCircle", 8, 2, 200, 0.38312244415283203, 881.46337890625, 0.0, 80.0, 80, 886),
    ("BallRun", 7, 2, 100, 26.339754104614258, 1327.445556640625, 0.0, 80.0, 80, 940),
    ("CarCircle", 8, 2, 300, 3.484419822692871, 534.3060913085938, 0.0, 100.0, 100, 1450),
    ("CarRun", 7, 2, 200, 204.28726196289062, 574.6533203125, 0.0, 40.0, 40, 651),
    ("DroneCircle", 18, 4, 300, 207.794189453125, 996.38916015625, 0.0, 100.0, 100, 1923),
    ("DroneRun", 17, 4, 200, 10.557029724121094, 682.8330078125, 0.0, 140.0, 140, 1990),
)
_SAFETY_GYMNASIUM: tuple[_Row, ...] = (
    ("CarButton1", 88, 2, 1000, 0.0028926206826067613, 44.420003345738984, 0.0, 250.0, 250, 2656),
    ("CarButton2", 88, 2, 1000, 0.001767391717990563, 41.99513815522894, 0.0, 300.0, 300, 3755),
    ("CarCircle1", 40, 2, 500, 8.037073135375977, 24.94155502319336, 0.0, 250.0, 250, 1271),
    ("CarCircle2", 40, 2, 500, 5.113386154174805, 25.950098037719727, 0.0, 398.0, 400, 940),
    ("CarGoal1", 72, 2, 1000, 0.012232819540852091, 39.907809198384705, 0.0, 120.0, 120, 1671),
    ("CarGoal2", 72, 2, 1000, 0.001032874531954775, 28.902897990056502, 0.0, 200.0, 200, 4105),
    ("CarPush1", 88, 2, 1000, 0.013700173533941762, 16.304467598905237, 0.0, 200.0, 200, 2871),
    ("CarPush2", 88, 2, 1000, 0.00029391133526335267, 15.141648491514314, 0.0, 250.0, 250, 4407),
    ("PointButton1", 76, 2, 1000, 0.008822109034937853, 41.19301568767707, 0.0, 200.0, 200, 2268),
    ("PointButton2", 76, 2, 1000, 0.014114166087574098, 42.8985953616709, 0.0, 250.0, 250, 3288),
    ("PointCircle1", 28, 2, 500, 20.067626953125, 61.72819519042969, 0.0, 200.0, 200, 1098),
    ("PointCircle2", 28, 2, 500, 20.478347778320312, 54.02184295654297, 0.0, 299.0, 300, 895),
    ("PointGoal1", 60, 2, 1000, 0.01196012764197707, 30.071114857340543, 0.0, 100.0, 100, 2022),
    ("PointGoal2", 60, 2, 1000, 0.002616959830266108, 27.717709787852737, 0.0, 200.0, 200, 3442),
    ("PointPush1", 76, 2, 1000, 0.0014001545292344209, 16.518654299293367, 0.0, 150.0, 150, 2379),
    ("PointPush2", 76, 2, 1000, 0.0012438183001730607, 14.691039145644403, 0.0, 200.0, 200, 3242),
    ("AntVelocity", 27, 8, 1000, 6.1519012451171875, 2976.276611328125, 0.0, 250.0, 250, 2249),
    ("HalfCheetahVelocity", 17, 6, 1000, 5.7509765625, 2806.93310546875, 0.0, 250.0, 250, 2495),
    ("HopperVelocity", 11, 3, 1000, 37.05154800415039, 1911.396728515625, 0.0, 250.0, 250, 2240),
    ("SwimmerVelocity", 8, 2, 1000, 0.07114458084106445, 238.95831298828125, 0.0, 200.0, 200, 1686),
    ("Walker2dVelocity", 17, 6, 1000, 18.668498992919922, 3418.223876953125, 0.0, 300.0, 300, 2729),
)
_METADRIVE: tuple[_Row, ...] = (
    ("easysparse", 259, 2, 1000, 20.094310760498047,
     425.8006286621094, 0.00025356505648232996, 82.42418670654297, 85, 1000),
    ("easymean", 259, 2, 1000, 22.142553329467773, 425.82440185546875, 0.0, 82.38601684570312, 85, 1000),
    ("easydense", 259, 2, 1000, 19.71139144897461, 425.81732177734375, 0.0, 80.36358642578125, 85, 1000),
    ("mediumsparse", 259, 2, 1000, 17.446578979492188, 269.80084228515625, 0.0, 46.46459197998047, 50, 1000),
    ("mediummean", 259, 2, 1000, 17.032529830932617, 269.8221435546875, 0.0, 46.46154022216797, 50, 1000),
    ("mediumdense", 259, 2, 1000, 15.102348327636719, 269.7813415527344, 0.0, 46.45858383178711, 50, 1000),
    ("hardsparse", 259, 2, 1000, 17.247974395751953, 486.80523681640625, 0.0, 85.010009765625, 85, 1000),
    ("hardmean", 259, 2, 1000, 19.387981414794922,
     486.9967956542969, 0.00033149970113299787, 84.33995056152344, 85, 1000),
    ("harddense", 259, 2, 1000, 15.386894226074219, 486.63616943359375, 0.0, 84.76679229736328, 85, 1000),
)
# fmt: on


_REDRAWN = ("Goal", "Button", "Push")
"""Kinds of navigation whose goals are drawn anew each time one is reached. MetaDrive draws traffic."""


def _simulator(backend: str, packages: tuple[str, ...], **arguments: Argument) -> Environment:
    make = Reference(f"surefoot.envs.simulators.{backend}", tuple(arguments.items()))
    return Environment(make, "simulator", packages)


_BACKENDS = {
    "bullet_safety_gym": ("bullet:BulletBackend", ("bullet-safety-gym", "pybullet", "gymnasium")),
    "safety_gymnasium": ("safety_gymnasium:SafetyGymnasiumBackend", ("safety-gymnasium", "mujoco", "gymnasium")),
}
"""Suite -> what makes its environments, and the packages that simulate them."""


def _metadrive(name: str) -> Environment:
    """A MetaDrive task, named after its map and its traffic."""
    roads = next(word for word in ("easy", "medium", "hard") if name.startswith(word))
    environment = _simulator(
        "remote:RemoteBackend", ("metadrive-simulator", "Panda3D"), roads=roads, traffic=name.removeprefix(roads)
    )
    return replace(environment, isolated="metadrive")


def _speed_limit(limit: float, *columns: int, observation: int | None = None) -> D4RLData:
    labeller = Reference("surefoot.data.d4rl:SpeedLimit", (("limit", limit), ("columns", columns)))
    return D4RLData(labeller, observation)


_VELOCITIES = {
    # Limits: Safety-Gymnasium's velocity tasks, version 1. Columns: MuJoCo's observations are the positions without the
    # root's place, then the velocities. D4RL's ant goes on with contact forces.
    "AntVelocity": _speed_limit(2.6222, 13, 14, observation=111),
    "HalfCheetahVelocity": _speed_limit(3.2096, 8),
    "HopperVelocity": _speed_limit(0.7402, 5),
    "SwimmerVelocity": _speed_limit(0.2282, 3),
    "Walker2dVelocity": _speed_limit(2.3415, 8),
}
_SENSORS = {"Point": tuple(range(12)), "Car": tuple(range(24))}
"""Columns of a navigating robot's own sensors, which come first; those of what stays on the floor are constant. (Most
of MetaDrive's lidar sees nothing on a straight road; Bullet's runs on a straight line give the speed twice.)"""

_DRIVEN = ("Goal1", "Goal2", "Button1", "Button2", "Push1", "Push2")
"""What scripted drivers know how to do in navigation."""


def _driver(suite: _Suite, robot: str | None, name: str) -> Reference | None:
    if suite == "metadrive":
        return Reference("surefoot.collection.driving:RoadDriver")
    if robot is None or name.removeprefix(robot) not in _DRIVEN:
        return None
    arguments = (("robot", robot), ("kind", name.removeprefix(robot)))
    return Reference("surefoot.collection.navigation:NavigationDriver", arguments)


def _recipe(suite: _Suite, robot: str | None, name: str) -> str | None:
    if suite == "metadrive":
        return "roads"
    if _driver(suite, robot, name) is None:
        return None
    return "crowded navigation" if name.endswith("2") else "navigation"


def _task(suite: _Suite, row: _Row) -> Task:
    """A row as a task; ids and file names follow the benchmark's own patterns."""
    name, observation_dim, action_dim, horizon, return_min, return_max, cost_min, cost_max, bound, trajectories = row
    version = "v1" if name.endswith("Velocity") else "v0"
    if suite == "metadrive":
        dsrl_id, stem = f"OfflineMetadrive-{name}-v0", f"SafeMetaDrive-{name}-v0"
        environment = _metadrive(name)
    else:
        middle = "Gymnasium" if suite == "safety_gymnasium" else ""
        dsrl_id = f"Offline{name}{middle}-{version}"
        environment = _simulator(*_BACKENDS[suite], simulator_id=f"Safety{name}-{version}")
        stem = f"Safety{name}{middle}-{version}"
    navigation = suite == "safety_gymnasium"
    robot = next((one for one in _SENSORS if navigation and version == "v0" and name.startswith(one)), None)
    return Task(
        name,
        observation_dim,
        action_dim,
        horizon,
        return_min=return_min,
        return_max=return_max,
        constraints=(CostLimit(10.0 if navigation else 5.0),),
        deterministic=suite != "metadrive" and not any(kind in name for kind in _REDRAWN),
        environment=environment,
        driver=_driver(suite, robot, name),
        recipe=_recipe(suite, robot, name),
        d4rl=_VELOCITIES.get(name),
        still_columns=None if suite == "metadrive" else _SENSORS[robot] if robot else (),
        equal_columns=None if suite == "metadrive" else ((2, 5),) if suite == "bullet_safety_gym" else (),
        dsrl_id=dsrl_id,
        dsrl_file=f"{stem}-{bound}-{trajectories}.hdf5",
        cost_return_min=cost_min,
        cost_return_max=cost_max,
        dsrl_cost_limits=(20.0, 40.0, 80.0) if navigation else (10.0, 20.0, 40.0),
    )


_SUITES: tuple[tuple[_Suite, tuple[_Row, ...]], ...] = (
    ("bullet_safety_gym", _BULLET),
    ("safety_gymnasium", _SAFETY_GYMNASIUM),
    ("metadrive", _METADRIVE),
)

DSRL_TASKS: dict[str, Task] = {row[0]: _task(suite, row) for suite, rows in _SUITES for row in rows}
