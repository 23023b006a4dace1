"""The runs and data files of the first edition that are kept here, and the command lines that made them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
DATA, RUNS, EXPECTED = HERE / "data", HERE / "trained", HERE / "expected"
OPTIONS = HERE / "options.json"
XLA_FLAGS = (
    "--xla_cpu_multi_thread_eigen=false --xla_llvm_disable_expensive_passes=true --xla_backend_optimization_level=0"
)
"""Of `make test`; rounding depends on them."""

DATA_FILES = {
    "ballrun.hdf5": "BallRun",
    "ballrun_minari": "BallRun",
    "half_cheetah_d4rl.hdf5": "HalfCheetahVelocity",
    "hazard_run.hdf5": "HazardRun",
    "hazard_run_chunks": "HazardRun",
    "hazard_run_episodes": "HazardRun",
    "pendulum.hdf5": "SafePendulum",
    "point_robot.hdf5": "PointRobot",
}
"""File or folder -> task: DSRL's HDF5, Minari, D4RL's HDF5, frames, NPZ chunks, a folder of episodes."""


class Recipe(NamedTuple):
    """How a run was made."""

    data: str
    train: str
    """Options of `surefoot train`."""
    after: Sequence[str] = ()
    """Commands that follow; RUN stands for the run."""


_ENDS = " --log-interval 2 --checkpoint-interval 2"
_DIFFUSION = " --diffusion.network.width 8 --diffusion.network.blocks 1 --diffusion.network.time-width 8"
_VALUES = " --value-hidden 4 4 --value-batch-size 16 --policy-batch-size 16 --num-candidates 4" + _DIFFUSION
_DECOUPLED = _VALUES + " --constraint-updates 2 --reward-updates 2 --policy-updates 4" + _ENDS
_BC = _DIFFUSION + " --policy-updates 4 --policy-batch-size 16" + _ENDS
_MODEL = (
    " --world-model.channels 2 2 --world-model.deterministic 4 --world-model.hidden 4 --world-model.groups 2"
    " --world-model.classes 4 --world-model.head-hidden 4 --world-model.bins 11"
    " --batch-size 2 --window 4 --horizon 2 --hidden 4 --actor-hidden 4 --log-interval 1 --checkpoint-interval 1"
)
_PLANNER = " --planner.samples 8 --planner.policy-samples 2 --planner.iterations 2 --planner.elites 4"
_TREBI = (
    " --plan-horizon 4 --model-updates 2 --value-updates 4 --batch-size 8 --candidates 3 --calibration-segments 16"
    " --network.width 8 --network.multipliers 1 --value-network.width 8 --value-network.multipliers 1"
    " --sampler.kind ddim --sampler.steps 2 --sampler.warm-steps 1 --diffusion-steps 3 --guide.start 3" + _ENDS
)
_BALL_RUN = "evaluate RUN --episodes 3 --workers 1"

RECIPES = {
    # The class' own defaults, but for sizes.
    "fisor_decoupled": Recipe(
        "ballrun.hdf5", "--preset paper --schedule decoupled --seeds 0:2" + _DECOUPLED, [_BALL_RUN]
    ),
    "fisor_joint": Recipe("ballrun.hdf5", "--preset paper --seeds 0 --joint-updates 4" + _VALUES + _ENDS, [_BALL_RUN]),
    "fisor_legacy": Recipe("ballrun.hdf5", "--preset legacy --critic qc --seeds 3 --joint-updates 4" + _VALUES + _ENDS),
    # Returns, recovery and scaling.
    "fisor_returns": Recipe(
        "ballrun.hdf5",
        "--preset small --seeds 0 --returns.refresh-interval 2 --value-updates 4 --critic-updates 2 --policy-updates 4"
        + _VALUES
        + _ENDS,
        [_BALL_RUN],
    ),
    # Bounds, siblings and escapes.
    "fisor_point_robot": Recipe(
        "point_robot.hdf5", "--preset small --seeds 5" + _DECOUPLED, ["evaluate RUN --episodes 3"]
    ),
    "bc": Recipe("ballrun.hdf5", "--algorithm bc --seeds 0:2" + _BC, [_BALL_RUN]),
    "bc_safe": Recipe(
        "ballrun.hdf5",
        "--algorithm bc --data-filter safe --fraction 0.9 --held-out 0.25 --seeds 1" + _BC,
        [_BALL_RUN],
    ),
    "trebi": Recipe(
        "pendulum.hdf5",
        "--algorithm trebi --seeds 0" + _TREBI,
        [
            "calibrate RUN --level 0.2 --method segments",
            "evaluate RUN --budget 0.2 1.0 --cost-limit inf --episodes 1 --level 0.2",
        ],
    ),
    "fosp": Recipe(
        "hazard_run.hdf5",
        "--algorithm fosp --seeds 0 --schedule joint --joint-updates 2" + _MODEL,
        ["evaluate RUN --episodes 2"],
    ),
    "safedreamer": Recipe(
        "hazard_run.hdf5",
        "--algorithm safedreamer --seeds 0 --model-updates 1 --policy-updates 2" + _MODEL + _PLANNER,
        ["evaluate RUN --episodes 2"],
    ),
}


def train_words(name: str, *, out: Path | str) -> list[str]:
    """The command line that trains a run, in this folder."""
    recipe = RECIPES[name]
    words = ["train", "--task", DATA_FILES[recipe.data], "--data", f"data/{recipe.data}", "--out", str(out)]
    return [*words, *recipe.train.split()]
