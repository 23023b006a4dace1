"""Surefoot: safe offline reinforcement learning in JAX.

From logged transitions to a policy that knows where it is safe.
"""

import importlib
from typing import TYPE_CHECKING, Any

import surefoot.forks as _forks  # noqa: F401  (it must see every fork)
from surefoot.envs.registration import register as _register_environments

if TYPE_CHECKING:
    from surefoot.algorithms.bc import BC
    from surefoot.algorithms.bc_multi_task import MultiTaskBC
    from surefoot.algorithms.bcq_lag import BCQLag
    from surefoot.algorithms.bcrl import BCRL
    from surefoot.algorithms.bear_lag import BEARLag
    from surefoot.algorithms.cdt import CDT
    from surefoot.algorithms.coptidice import COptiDICE
    from surefoot.algorithms.cpq import CPQ
    from surefoot.algorithms.fisor import FISOR
    from surefoot.algorithms.fosp import FOSP
    from surefoot.algorithms.one_step_flow import OneStepFlow
    from surefoot.algorithms.safedreamer import SafeDreamer
    from surefoot.algorithms.trebi import TREBI
    from surefoot.api.benchmarking import benchmark
    from surefoot.api.collecting import collect
    from surefoot.api.run import Run, evaluate, finetune
    from surefoot.api.sweeping import sweep
    from surefoot.api.training import train
    from surefoot.data.episodes import Episodes
    from surefoot.errors import SurefootError, SurefootWarning
    from surefoot.observer import Observer
    from surefoot.tasks import Task, get_task
    from surefoot.training.loaded import load_policy as load

__version__ = "0.1.0"
_EXPORTS = {
    "BC": "surefoot.algorithms.bc:BC",
    "BCQLag": "surefoot.algorithms.bcq_lag:BCQLag",
    "BCRL": "surefoot.algorithms.bcrl:BCRL",
    "BEARLag": "surefoot.algorithms.bear_lag:BEARLag",
    "CDT": "surefoot.algorithms.cdt:CDT",
    "COptiDICE": "surefoot.algorithms.coptidice:COptiDICE",
    "CPQ": "surefoot.algorithms.cpq:CPQ",
    "Episodes": "surefoot.data.episodes:Episodes",
    "FISOR": "surefoot.algorithms.fisor:FISOR",
    "FOSP": "surefoot.algorithms.fosp:FOSP",
    "MultiTaskBC": "surefoot.algorithms.bc_multi_task:MultiTaskBC",
    "Observer": "surefoot.observer:Observer",
    "OneStepFlow": "surefoot.algorithms.one_step_flow:OneStepFlow",
    "Run": "surefoot.api.run:Run",
    "SafeDreamer": "surefoot.algorithms.safedreamer:SafeDreamer",
    "SurefootError": "surefoot.errors:SurefootError",
    "SurefootWarning": "surefoot.errors:SurefootWarning",
    "TREBI": "surefoot.algorithms.trebi:TREBI",
    "Task": "surefoot.tasks:Task",
    "benchmark": "surefoot.api.benchmarking:benchmark",
    "collect": "surefoot.api.collecting:collect",
    "evaluate": "surefoot.api.run:evaluate",
    "finetune": "surefoot.api.run:finetune",
    "get_task": "surefoot.tasks:get_task",
    "load": "surefoot.training.loaded:load_policy",
    "sweep": "surefoot.api.sweeping:sweep",
    "train": "surefoot.api.training:train",
}
"""Public name -> where it is. Imported on first use, so that `import surefoot` needs no JAX."""
__all__ = [
    "BC",
    "BCRL",
    "CDT",
    "CPQ",
    "FISOR",
    "FOSP",
    "TREBI",
    "BCQLag",
    "BEARLag",
    "COptiDICE",
    "Episodes",
    "MultiTaskBC",
    "Observer",
    "OneStepFlow",
    "Run",
    "SafeDreamer",
    "SurefootError",
    "SurefootWarning",
    "Task",
    "__version__",
    "benchmark",
    "collect",
    "evaluate",
    "finetune",
    "get_task",
    "load",
    "sweep",
    "train",
]

_register_environments()


def __getattr__(name: str) -> Any:
    """A public name, imported now."""
    if name not in _EXPORTS:
        raise AttributeError(f"module 'surefoot' has no attribute '{name}'")
    module, _, attribute = _EXPORTS[name].partition(":")
    return vars(importlib.import_module(module))[attribute]


def __dir__() -> list[str]:
    return sorted(__all__)
