"""Protocols of algorithms: what each must have, what it takes, and what only some offer.

Every algorithm is an `Algorithm` and declares its `Inputs`. What only some offer is a protocol of its own: ask with
`isinstance(algorithm, HasFeasibleValue)`, never by the name of a method.
"""

from surefoot.protocols.acting import (
    ChoosesCandidates,
    PlansUnderBudget,
    PredictsCosts,
    RemarksOnBudgets,
    SearchesActions,
    ShowsPlans,
    TrainedForLimit,
    choice_of,
)
from surefoot.protocols.algorithm import (
    Acts,
    Algorithm,
    CitesPaper,
    Data,
    Inputs,
)
from surefoot.protocols.training import (
    Calibrates,
    FineTunes,
    LearnsWithoutRewards,
    PlansUpdates,
    Relabels,
    SelectsEpisodes,
    WeighsRows,
    is_calibrated,
    relabel_interval,
)
from surefoot.protocols.values import (
    ActsFeasibly,
    HasActionValue,
    HasCostToCome,
    HasFeasibleValue,
    HasInfeasibility,
    HasWorldModel,
)

__all__ = [
    "Acts",
    "ActsFeasibly",
    "Algorithm",
    "Calibrates",
    "ChoosesCandidates",
    "CitesPaper",
    "Data",
    "FineTunes",
    "HasActionValue",
    "HasCostToCome",
    "HasFeasibleValue",
    "HasInfeasibility",
    "HasWorldModel",
    "Inputs",
    "LearnsWithoutRewards",
    "PlansUnderBudget",
    "PlansUpdates",
    "PredictsCosts",
    "Relabels",
    "RemarksOnBudgets",
    "SearchesActions",
    "SelectsEpisodes",
    "ShowsPlans",
    "TrainedForLimit",
    "WeighsRows",
    "choice_of",
    "is_calibrated",
    "relabel_interval",
]
