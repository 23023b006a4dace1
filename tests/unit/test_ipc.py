"""The messages between a worker and its owner, and MetaDrive's process with a stand-in for MetaDrive."""

import io
import os
import signal
import site
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.envs.simulators import make
from surefoot.envs.workers import ipc
from surefoot.envs.workers.local import Step
from surefoot.envs.workers.vector import VectorSimulator
from surefoot.errors import SimulatorError
from surefoot.tasks import get_task

FAKE_ENVS = '''
import numpy as np

class Space:
    def __init__(self, size): self.shape = (size,)

class Managers:
    class traffic_manager: np_random = None

class Vehicle: speed_km_h = 60.0

class SafeMetaDriveEnv:
    """Position along a road, and a number of the traffic's generator; the lidar reads 0.04 at its end."""
    observation_space, action_space = Space(259), Space(2)
    def __init__(self, config): self.config, self.engine, self.vehicle = config, Managers(), Vehicle()
    def lazy_init(self): print("noise on stdout")
    def observe(self):
        return np.concatenate([[self.place, self.traffic], np.ones(256), [0.04]])
    def reset(self, force_seed):
        assert force_seed == self.config["start_seed"] == 100 and self.config["map_config"]["config"] == "XST"
        assert self.config["traffic_density"] == 0.15
        self.place, self.traffic = 0.0, self.engine.traffic_manager.np_random.random_sample()
        return self.observe()
    def step(self, action):
        self.place += float(action[1])
        crash = self.place > 2.5
        info = {"cost": 1.0 if crash else 0.0, "arrive_dest": False, "crash": crash, "out_of_road": False}
        return self.observe(), float(action[1]), False, info
    def close(self): pass
'''


@pytest.fixture
def metadrive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment for MetaDrive with this process's NumPy and a package that stands in for MetaDrive."""
    place = tmp_path / "metadrive"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    packages = next(place.glob("lib/python*/site-packages"))
    (packages / "here.pth").write_text("\n".join(site.getsitepackages()))
    (packages / "metadrive" / "manager").mkdir(parents=True)
    (packages / "metadrive" / "__init__.py").write_text("")
    (packages / "metadrive" / "envs.py").write_text(FAKE_ENVS)
    (packages / "metadrive" / "manager" / "traffic_manager.py").write_text("class TrafficMode: Hybrid = 'hybrid'")
    monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path))


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_steps_come_back_to_the_bit(lanes: int, observation_dim: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    rows = (lanes, observation_dim)
    step = Step(
        random.standard_normal(rows, np.float32), random.standard_normal(lanes), random.standard_normal(lanes),
        random.random(lanes) < 0.5, random.random(lanes) < 0.5, random.standard_normal(rows, np.float32),
        np.zeros(lanes, bool), random.standard_normal(lanes),
    )  # fmt: skip
    pipe = io.BytesIO()
    ipc.send(pipe, ipc.DATA, *ipc.pack_step(step))
    pipe.seek(0)
    kind, payload = ipc.receive(pipe)
    assert kind == ipc.DATA
    found = ipc.unpack_step(payload, lanes, observation_dim)
    sent = (*step[:6], np.asarray(step.constraint))
    assert all((a == b).all() and a.dtype == b.dtype for a, b in zip(found, sent, strict=True))


def test_a_message_that_breaks_off_is_an_end_of_file() -> None:
    pipe = io.BytesIO()
    ipc.send(pipe, ipc.RESET, ipc.pack_seeds(np.arange(3)))
    whole = pipe.getvalue()
    # 1 byte of kind, 4 of length, 3 seeds of 8 bytes.
    assert len(whole) == 1 + 4 + 24
    for length in range(len(whole)):
        with pytest.raises(EOFError):
            ipc.receive(io.BytesIO(whole[:length]))


def test_a_message_that_comes_in_pieces_is_put_together() -> None:
    class Pieces(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 7))

    whole = io.BytesIO()
    ipc.send(whole, ipc.RESET, ipc.pack_seeds(np.arange(3)))
    assert ipc.receive(Pieces(whole.getvalue())) == (ipc.RESET, np.arange(3).tobytes())


def test_a_worker_sleeps_until_its_owner_speaks_or_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays awake only after a request that came at once."""
    reading, writing = os.pipe()
    lookout = ipc._Lookout(reading)
    yields: list[int] = []
    monkeypatch.setattr(os, "sched_yield", lambda: yields.append(os.write(writing, b"x")))
    monkeypatch.setattr(ipc, "BRISK_SECONDS", 600.0)
    os.write(writing, b"x")
    lookout.wait()  # the first request: asleep
    assert not yields
    os.read(reading, 1)
    lookout.wait()  # nothing there yet: it gave way once, and the next request came
    assert yields == [1]
    os.read(reading, 1)
    monkeypatch.setattr(ipc, "BRISK_SECONDS", 0.0)
    os.close(writing)
    lookout.wait()
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_metadrives_process_speaks_the_same_protocol(metadrive: None) -> None:
    env = make(get_task("mediummean"))
    starts = [env.reset(seed=seed)[0] for seed in (3, 4, 3)]
    assert starts[0].shape == (259,)
    assert (starts[0] == starts[2]).all()
    assert (starts[0] != starts[1]).any()
    observation, reward, terminated, truncated, info = env.step(np.array([0.0, 7.0], np.float32))
    assert (observation[0], reward, terminated, truncated) == (1.0, 1.0, False, False)  # clipped
    # 60 km/h are 50 too many: 0.01 * 50; the lidar's 0.04 is 0.06 too near: 0.01 * 0.06 ** 2.
    assert info["cost"] == pytest.approx(0.5 + 0.01 * 0.06**2)
    env.step(np.array([0.0, 1.0]))
    _, _, terminated, truncated, info = env.step(np.array([0.0, 1.0]))
    assert (terminated, truncated) == (True, False)
    assert info["cost"] == pytest.approx(1.5 + 0.01 * 0.06**2)
    assert env.cpu_seconds() > 0
    env.close()


def test_each_lane_of_metadrive_is_a_process(metadrive: None) -> None:
    with VectorSimulator(get_task("mediummean"), num_envs=2, workers=1) as simulator:
        assert len(simulator.process_ids) == 2
        start = simulator.reset([1, 2])
        step = simulator.step(np.array([[0.0, 0.5], [0.0, 0.25]]), [-1, -1])
        assert step.observation[:, 0].tolist() == [0.5, 0.25]
        np.testing.assert_array_equal(step.observation[:, 1:], start[:, 1:])


def test_signals_that_ask_to_end_are_the_owners_affair(metadrive: None) -> None:
    """As Slurm sends them to all processes: a worker that died would be replaced, and its episodes others."""
    with VectorSimulator(get_task("mediummean"), num_envs=1, workers=1) as simulator:
        simulator.reset([1])
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            os.kill(simulator.process_ids[0], number)
        simulator.step(np.array([[0.0, 0.5]]), [-1])
        assert simulator.deaths == []


def test_a_simulator_that_dies_names_task_and_seed(metadrive: None) -> None:
    env = make(get_task("mediummean"))
    env.reset(seed=8)
    for _ in range(2):
        env.step(np.array([0.0, 1.0]))
    os.kill(env._backend._worker.process_id, signal.SIGKILL)  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(
        SimulatorError, match="task mediummean: its simulator died in the episode with seed 8: killed by"
    ):
        env.step(np.array([0.0, 1.0]))
    env.close()
