"""Safety-Gymnasium 1.0.0 on NumPy 2, Gymnasium 1.x and MuJoCo 3.3: imported with what it needs, mended from outside.

The package pins libraries of 2023. This module imports it beside the present ones and leaves its files as they are:

- Its own `make`, its wrappers and its multi-agent tasks need modules that Gymnasium removed, and gymnasium-robotics.
  Empty stand-ins take their place; its `register` is ours, so that its table of tasks comes to us.
- Fields of its dataclasses default to NumPy arrays, which dataclasses refuse since Python 3.11: each gets a copy.
- Car's joints are looked up with an array of one number where MuJoCo wants the number.
- Gymnasium's off-screen viewer wants its width and height.
- A reset compiles the world anew, and spends nearly all of its time on reading six images of the sky and a YAML file.
  The file is read once; a world that is never drawn gets a plain sky, which no number depends on.
- Robots have a camera in front only. Those that see behind get a second one, the first turned about the robot's axis,
  and both look 90 degrees wide, as those of FOSP and SafeDreamer do.
- Layouts are drawn by rejection, up to thousands of times for Button. The same draws and the same arithmetic take a
  fifth of the time on Python's floats.
"""

import dataclasses
import inspect
import math
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from surefoot.errors import SimulatorError

PLAIN_SKY = 8
"""Pixels along a side of a sky that nobody sees."""


class Registration(NamedTuple):
    """One row of Safety-Gymnasium's table of tasks."""

    entry_point: str
    """"module:class"."""
    arguments: dict[str, Any]
    """Arguments of the class."""
    horizon: int
    """Steps after which its own `make` truncates an episode."""


@cache
def load() -> dict[str, Registration]:
    """Import and mend Safety-Gymnasium, once; its tasks by id. Raises `SimulatorError` where something is missing."""
    table: dict[str, Registration] = {}

    def register(id: str, entry_point: str, kwargs: Any = None, max_episode_steps: int = 0, **_: Any) -> None:
        table[id] = Registration(entry_point, kwargs or {}, max_episode_steps)

    stand_ins = {
        "safety_gymnasium.vector": {},
        "safety_gymnasium.wrappers": {},
        "safety_gymnasium.tasks.safe_multi_agent.safe_mujoco_multi": {"make_ma": None},
        "safety_gymnasium.utils.registration": {"make": None, "register": register},
    }
    try:
        with _modules(stand_ins), _array_defaults(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import safety_gymnasium.bases.base_agent
            import safety_gymnasium.bases.underlying
            import safety_gymnasium.builder
            import safety_gymnasium.utils.random_generator
            import safety_gymnasium.world
    except ImportError as error:
        raise SimulatorError(
            f"the simulator Safety-Gymnasium is not installed ({error}); install it with "
            f"`surefoot simulators install safety-gymnasium`."
        ) from error
    _patch_joints(safety_gymnasium.bases.base_agent, safety_gymnasium.world)
    _patch_viewer(safety_gymnasium.bases.underlying)
    _patch_layouts(safety_gymnasium.utils.random_generator)
    _patch_worlds(safety_gymnasium.bases.underlying, safety_gymnasium.world)
    return table


@contextmanager
def _modules(stand_ins: dict[str, dict[str, Any]]) -> Iterator[None]:
    """Put modules with these contents in place, for as long as the block imports."""
    for name, content in stand_ins.items():
        module = ModuleType(name, "A stand-in; see surefoot.envs.simulators.compat.")
        module.__dict__.update(content)
        sys.modules[name] = module
    try:
        yield
    finally:
        for name in stand_ins:
            sys.modules.pop(name, None)


@contextmanager
def _array_defaults() -> Iterator[None]:
    """Let `dataclass` take NumPy arrays as defaults, for as long as the block imports."""
    original: Any = dataclasses.dataclass

    def prepare(cls: Any) -> Any:
        for name in inspect.get_annotations(cls):
            default = cls.__dict__.get(name)
            if isinstance(default, np.ndarray):
                setattr(cls, name, dataclasses.field(default_factory=default.copy))
        return cls

    def dataclass(cls: Any = None, /, **options: Any) -> Any:
        return (lambda late: original(prepare(late), **options)) if cls is None else original(prepare(cls), **options)

    dataclasses.dataclass = dataclass
    try:
        yield
    finally:
        dataclasses.dataclass = original


class _Joints:
    """The three things that Safety-Gymnasium asks of a model as it lists joints, with `jnt` taking an array of one."""

    def __init__(self, model: Any) -> None:
        self.nsensor: int = model.nsensor
        self.sensor: Callable[[Any], Any] = model.sensor
        self._model = model

    def jnt(self, number: Any) -> Any:
        return self._model.jnt(int(number[0]))


def _patch_joints(base_agent: Any, world: Any) -> None:
    original = base_agent.BaseAgent._init_jnt_sensors

    def init_jnt_sensors(agent: Any) -> None:
        engine = agent.engine
        agent.engine = world.Engine(_Joints(engine.model), engine.data)
        try:
            original(agent)
        finally:
            agent.engine = engine

    base_agent.BaseAgent._init_jnt_sensors = init_jnt_sensors


def _patch_viewer(underlying: Any) -> None:
    original = underlying.OffScreenViewer

    def viewer(model: Any, data: Any) -> Any:
        return original(model, data, int(model.vis.global_.offwidth), int(model.vis.global_.offheight))

    underlying.OffScreenViewer = viewer


def _patch_layouts(random_generator: Any) -> None:
    def sample_layout(generator: Any) -> bool:
        """Place all objects, each at most 100 times tried; False where one found no place."""
        margin = generator.placements_margin
        placed: list[tuple[float, float, float]] = []
        layout = {}
        for name, (placements, keepout) in generator.placements.items():
            for _ in range(100):
                xy = generator.draw_placement(placements, keepout)
                x, y = xy.tolist()
                # The original's sum, in its order: its rounding decides the same cases.
                if all(
                    math.sqrt((x - other_x) * (x - other_x) + (y - other_y) * (y - other_y))
                    >= other_keepout + margin + keepout
                    for other_x, other_y, other_keepout in placed
                ):
                    break
            else:
                return False
            layout[name] = xy
            placed.append((x, y, keepout))
        generator.layout = layout
        return True

    random_generator.RandomGenerator.sample_layout = sample_layout


class _Assets:
    """In place of the module `yaml` where a world is built: reads a file once, and leaves out the sky where told."""

    def __init__(self, yaml: Any) -> None:
        self.FullLoader = yaml.FullLoader
        self.sky: int | None = None
        self._yaml = yaml
        self._read: dict[str, Any] = {}

    def load(self, file: Any, Loader: Any) -> Any:
        if file.name not in self._read:
            self._read[file.name] = self._yaml.load(file, Loader=Loader)
        content = deepcopy(self._read[file.name])
        if self.sky is not None:
            content["textures"]["skybox"] = plain_sky(self.sky)
        return content


def plain_sky(side: int) -> dict[str, str]:
    """A texture of the sky, white, in the form of a world's XML."""
    white, size = "1 1 1", str(side)
    return {"@type": "skybox", "@builtin": "gradient", "@rgb1": white, "@rgb2": white, "@width": size, "@height": size}


class _Trees:
    """In place of the module `xmltodict` where a world is built: adds the camera behind, where told."""

    def __init__(self, xmltodict: Any) -> None:
        self.parse: Callable[..., Any] = xmltodict.parse
        self.looks_back = False
        self._unparse: Callable[..., str] = xmltodict.unparse

    def unparse(self, tree: Any) -> str:
        if self.looks_back:
            cameras = tree["mujoco"]["worldbody"]["body"][0]["camera"]
            front = next(camera for camera in cameras if camera["@name"] == "vision")
            front["@fovy"] = "90"
            x_axis, y_axis = np.array([float(number) for number in front["@xyaxes"].split()]).reshape(2, 3)
            turned = [_half_turn(axis) for axis in (x_axis, y_axis)]
            place = _half_turn(np.array([float(number) for number in front["@pos"].split()]))
            cameras.append(
                {**front, "@name": "vision_back", "@pos": _words(place), "@xyaxes": _words(np.concatenate(turned))}
            )
        return self._unparse(tree)


def _half_turn(vector: np.ndarray) -> np.ndarray:
    """About the robot's vertical axis."""
    return vector * np.array([-1.0, -1.0, 1.0])


def _words(numbers: np.ndarray) -> str:
    return " ".join(f"{number:g}" for number in numbers)


def _patch_worlds(underlying: Any, world: Any) -> None:
    assets = world.yaml = _Assets(world.yaml)
    trees = world.xmltodict = _Trees(world.xmltodict)

    class World(world.World):
        """A world whose agent says what sky it has (None: the images; else the side of a plain one, in pixels) and
        whether the robot has a camera behind; the backend sets both."""

        def build(self) -> None:
            assets.sky, trees.looks_back = self._agent.sky, self._agent.looks_back
            super().build()

    underlying.World = World
