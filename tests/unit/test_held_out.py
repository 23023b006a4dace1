"""Episodes kept aside, what values and choices say of logged episodes, and the verdict in words."""

from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from tests.data_fixtures import BINARY_TASK, make_dataset

from surefoot.data import Dataset
from surefoot.data.selection import (
    held_out_episodes,
    is_whole,
    kept_aside,
    method_name,
    other_episodes,
    select,
    selection,
    selection_name,
)
from surefoot.errors import ConfigError, OutputError
from surefoot.evaluation.held_out import (
    far_actions,
    judge,
    known_transitions,
    sample_to_judge,
    told_by_similar,
    warning_steps,
)
from surefoot.experiments.judging import episodes_to_judge, judged
from surefoot.report.held_out import held_out_figures, held_out_rows, held_out_verdict, is_doubtful
from surefoot.report.html import write_report
from surefoot.types import Decision


@dataclass(frozen=True)
class EpisodeOrder:
    """V_h is the first number of an observation plus the state; the other two are the action, of which the first says
    whether it is feasible."""

    margin: float = 0.5
    forbids_violations: bool = True

    def feasible_value(self, state: Any, observation: Any) -> Any:
        return observation[:, 0] + state

    def feasible_margin(self, state: Any) -> Any:
        return jnp.asarray(self.margin)

    def decide(self, state: Any, observation: Any, key: Any) -> Decision:
        return Decision(observation[:, 1:], observation[:, 1] <= 0)


def logged(*episodes: tuple[list[float], int | None]) -> Dataset:
    """Episodes of the values in the states that are left, and the step that enters a violation; the state entered at
    the end has a value of 0.9. Actions are 0."""
    rows = [len(values) for values, _ in episodes]
    dataset = make_dataset(BINARY_TASK, lengths=rows, tail=0)
    costs, observations, entered = np.zeros(sum(rows), np.float32), [], []
    for (values, violation), start in zip(episodes, np.cumsum([0, *rows[:-1]]), strict=True):
        path = np.zeros((len(values) + 1, 3), np.float32)
        path[:, 0] = [*values, 0.9]
        observations.append(path[:-1])
        entered.append(path[1:])
        if violation is not None:
            costs[start + violation] = 1.0
    return replace(
        dataset,
        observations=np.concatenate(observations),
        next_observations=np.concatenate(entered),
        actions=np.zeros_like(dataset.actions),
        costs=costs,
    )


SAFE = ([-1.0, -1.0, -0.2, -1.0], None)
WARNED = ([-1.0, -0.2, 0.1, 0.6], 3)
MISSED = ([-1.0, -1.0], 0)


def with_costs(violating: int, safe: int) -> Dataset:
    """Episodes of 3 steps, those with a violation first."""
    return logged(*[([0.0] * 3, 1)] * violating, *[([0.0] * 3, None)] * safe)


# --- episodes kept aside ---


@pytest.mark.parametrize(
    ("violating", "safe", "kept"),
    [
        (40, 10, (4, 1)),  # a tenth of each
        (40, 2, (4, 1)),  # at least one
        (40, 1, (4, 0)),  # the only one is learned from
        (0, 12, (0, 1)),
    ],
)
def test_a_share_of_each_kind_is_kept_aside(violating: int, safe: int, kept: tuple[int, int]) -> None:
    dataset = with_costs(violating, safe)
    held = held_out_episodes(dataset, share=0.1, seed=0)
    assert ((held < violating).sum(), (held >= violating).sum()) == kept
    assert sorted([*held, *other_episodes(dataset, held)]) == list(range(violating + safe))


def test_the_same_are_kept_aside_every_time_and_a_smaller_share_is_part_of_a_larger_one() -> None:
    dataset = with_costs(30, 20)
    small, large = (set(held_out_episodes(dataset, share=share, seed=0).tolist()) for share in (0.1, 0.3))
    assert small == set(held_out_episodes(dataset, share=0.1, seed=0).tolist())
    assert small < large
    assert small != set(held_out_episodes(dataset, share=0.1, seed=1).tolist())


def test_a_single_episode_of_each_kind_cannot_be_split() -> None:
    with pytest.raises(ConfigError, match="held_out: expected at least two episodes with a violation or two without"):
        held_out_episodes(with_costs(1, 1), share=0.5, seed=0)


def test_training_and_held_out_episodes_never_meet_and_the_fraction_is_of_the_rest() -> None:
    """20 episodes, told apart by their rewards: 4 are kept aside, half of the other 16 are trained on."""
    dataset = with_costs(10, 10)
    dataset = replace(dataset, rewards=np.repeat(np.arange(20, dtype=np.float32), 3))
    record = selection(BINARY_TASK, data_filter="all", fraction=0.5, held_out=0.2)
    assert record == {"fraction": 0.5, "fraction_seed": 0, "held_out": 0.2, "held_out_seed": 0}
    held = kept_aside(dataset, record)
    assert held is not None
    numbers = set(held.required_rewards.tolist())
    trained = select(dataset, record)
    assert (len(held.lengths), len(trained.lengths)) == (4, 8)
    assert not numbers & set(trained.required_rewards.tolist())
    safe = selection(BINARY_TASK, data_filter="safe", fraction=1.0, limit=0.0, held_out=0.2)
    assert (len(select(dataset, safe).lengths), select(dataset, safe).costs.sum()) == (8, 0)
    again = kept_aside(dataset, safe)
    assert again is not None
    assert set(again.required_rewards.tolist()) == numbers
    assert selection_name(record) == "held_out 0.2 and fraction 0.5"
    assert method_name("fisor", record) == "FISOR (50 %)"


def test_held_out_is_no_part_of_a_methods_name() -> None:
    record = selection(BINARY_TASK, data_filter="all", fraction=1.0, held_out=0.1)
    assert (method_name("fisor", record), is_whole(record)) == ("FISOR", True)
    assert kept_aside(with_costs(2, 2), {}) is None
    with pytest.raises(ConfigError, match="data_selection: held_out_seed: expected a number beside held_out"):
        select(with_costs(2, 2), {"held_out": 0.5})


# --- figures ---


def test_figures_of_three_episodes_by_hand() -> None:
    """A state counts as feasible up to -0.5."""
    found = judge(EpisodeOrder(), jnp.zeros(1), logged(SAFE, WARNED, MISSED))
    assert (found["episodes"], found["safe_episodes"], found["violating_episodes"]) == (3, 1, 2)
    assert found["safe_feasible"]["share"] == 0.75  # all but -0.2
    assert found["violating_feasible"]["share"] == 0.5  # 0.9 does not, and -1, which the third episode enters, does
    assert found["warned"]["share"] == 0.5
    assert found["warning_steps"] == {"tenth": 0.0, "median": 0.0, "nine_tenths": 3.0}  # of 3 and 0
    assert found["fallback_safe"]["share"] == found["fallback"]["share"] == 0.0
    assert found["far_actions"]["share"] == 0.0


@dataclass(frozen=True)
class WithActions(EpisodeOrder):
    """Q_h is above V_h by twice the action's second number."""

    def feasible_action_value(self, state: Any, observation: Any, action: Any) -> Any:
        return self.feasible_value(state, observation) + 2 * action[:, 1]


def test_a_bad_action_from_a_feasible_state_is_foreseen_by_its_value() -> None:
    """Both episodes enter a violation from V_h = -1, the first by an action of Q_h = -1, the second by one of 0; a
    third is warned of by its states."""
    dataset = logged(MISSED, MISSED, WARNED)
    dataset.actions[2, 1] = 0.5
    found = judge(WithActions(), jnp.zeros(1), dataset)
    assert [round(3 * found[name]["share"]) for name in ("warned", "foreseen")] == [1, 2]
    assert judge(EpisodeOrder(), jnp.zeros(1), dataset)["foreseen"] == found["warned"]


def test_seeds_are_told_apart_and_an_interval_counts_episodes() -> None:
    """The second seed's values are higher by 1: no state counts as feasible. Wilson's interval of
    0.375 in 2 trials: (0.375 + 0.960) / 2.921 -+ 1.960 / 2.921 sqrt(0.375 * 0.625 / 2 + 0.240) = 0.457 -+ 0.401."""
    found = judge(EpisodeOrder(), jnp.array([0.0, 1.0]), logged(SAFE, SAFE))
    assert found["safe_feasible"]["per_seed"] == [0.75, 0.0]
    assert found["safe_feasible"]["share"] == 0.375
    np.testing.assert_allclose(found["safe_feasible"]["interval"], [0.056, 0.858], atol=1e-3)
    assert found["warned"] == {"share": None, "interval": None, "per_seed": [None, None]}
    assert found["warning_steps"] is None


def test_the_fallback_acts_where_no_candidate_is_feasible() -> None:
    dataset = logged(SAFE, WARNED)
    observations = dataset.observations.copy()
    observations[:2, 1] = 1.0  # of the four states of the first episode
    found = judge(EpisodeOrder(), jnp.zeros(1), replace(dataset, observations=observations))
    assert (found["fallback_safe"]["share"], found["fallback"]["share"]) == (0.5, 0.25)


def test_values_that_overflow_are_refused() -> None:
    with pytest.raises(OutputError, match=r"feasible value \(seed, state\).*overflow on the data's observations"):
        judge(EpisodeOrder(), jnp.full(1, np.inf), logged(SAFE, WARNED))


@pytest.mark.parametrize(
    ("feasible", "steps"),
    [([1, 1, 1, 1], 0), ([1, 1, 1, 0], 1), ([1, 0, 1, 0], 1), ([0, 0, 0, 0], 4), ([1, 0, 0, 0], 3)],
)
def test_a_warning_counts_from_the_last_feasible_state(feasible: list[int], steps: int) -> None:
    assert warning_steps(logged(WARNED), np.array(feasible, bool)).tolist() == [steps]


def test_an_action_is_far_where_similar_states_have_no_action_like_it() -> None:
    """Two places: at 0 the logged actions are near (0, 0), at 10 near (1, 1)."""
    random = np.random.default_rng(0)
    dataset = logged(*[([0.0] * 30, None)] * 2, *[([10.0] * 30, None)] * 2)
    actions = (dataset.observations[:, :1] / 10 + random.normal(0, 0.05, (120, 2))).astype(np.float32)
    known = known_transitions(replace(dataset, actions=actions))
    here, logged_here = np.array([[0, 0, 0], [10, 0, 0]], np.float32), np.array([[0, 0], [1, 1]], np.float32)
    chosen = np.array([[[0.05, 0], [1, 1.05]], [[1, 1], [1, 0.95]]], np.float32)
    found = far_actions(known, here, logged_here + 0.3, chosen, np.array([-1, -1]))
    assert found.tolist() == [[False, False], [True, False]]


def test_values_learned_by_heart_are_not_told_by_similar_states() -> None:
    """V_h = -1 or 1. That of similar states of other episodes is the same; 0 on average, which tells nothing; or half
    of it, so that what is left varies by 1 / 4."""
    places = [([-1.0] * 10 + [1.0] * 10, None)] * 21
    assert judge(EpisodeOrder(), jnp.zeros(1), logged(*places))["similar_values"]["share"] > 0.9
    numbers = np.tile([-1.0, 1.0], (1, 50))
    assert told_by_similar(numbers, np.zeros((1, 100, 20))) == (0.0, None, [0.0])
    assert told_by_similar(numbers, np.repeat(numbers[..., None], 20, -1) / 2) == (0.75, None, [0.75])
    assert told_by_similar(np.ones((1, 5)), np.ones((1, 5, 20))) == (None, None, [None])


def test_of_many_episodes_some_of_each_kind_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("surefoot.evaluation.held_out.MOST_ROWS", 10)
    sample = sample_to_judge(with_costs(20, 4))
    assert (sample.violating_steps > 0).sum() == 3  # 9 of at most 10 rows
    assert (sample.violating_steps == 0).sum() == 3


# --- the verdict ---


def share(value: float | None, spread: float = 0.1) -> dict[str, Any]:
    interval = None if value is None else [max(0.0, value - spread), min(1.0, value + spread)]
    return {"share": value, "interval": interval, "per_seed": [value]}


def figures(**changes: Any) -> dict[str, Any]:
    good = {"safe_feasible": 0.95, "violating_feasible": 0.0, "warned": 1.0, "fallback_safe": 0.05, "fallback": 0.4,
            "far_actions": 0.05, "similar_values": 0.7}  # fmt: skip
    counts = {"episodes": 100, "safe_episodes": 20, "violating_episodes": 80, "transitions": 1000}
    steps = {"tenth": 4.0, "median": 9.0, "nine_tenths": 15.0}
    shares = {name: value if isinstance(value, dict) else share(value) for name, value in (good | changes).items()
              if name in good}  # fmt: skip
    return counts | {"warning_steps": steps} | shares | {key: changes[key] for key in counts if key in changes}


def test_a_verdict_of_training_episodes_says_so() -> None:
    found = {"training": figures()}
    assert is_doubtful(found) is False
    assert held_out_verdict(found) == (
        "Verdict before simulation: nothing speaks against it: 95.0 % [85.0, 100.0] of the states of episodes without "
        "a violation count as feasible, 0.0 % [0.0, 10.0] of those in violation do and the fallback acts in 5.0 % "
        "[0.0, 15.0] of the first. Judged on 100 training episodes, 20 of them without a violation, which it has "
        "learned from."
    )


def test_what_is_missed_is_told_with_its_numbers() -> None:
    found = {"training": figures(safe_feasible=0.38, fallback_safe=0.62), "held_out": figures(safe_feasible=0.4)}
    assert is_doubtful(found) is True
    sentence = held_out_verdict(found)
    assert sentence.startswith(
        "Verdict before simulation: doubtful, as only 38.0 % [28.0, 48.0] (40.0 % held out) of the states of episodes "
        "without a violation count as feasible and in 62.0 % [52.0, 72.0] (5.0 % held out) of the states"
    )
    assert sentence.endswith("and 100 held-out episodes, 20 of them without a violation.")
    assert [figure.met for figure in held_out_figures(found)] == [False, True, True, False, True, True]


@pytest.mark.parametrize(("spread", "doubtful"), [(0.3, False), (0.1, True)])
def test_few_held_out_episodes_contradict_only_beyond_their_interval(spread: float, doubtful: bool) -> None:
    """0.4 of the held-out states: 0.6 is within 0.3 of it, not within 0.1."""
    found = {"training": figures(), "held_out": figures(safe_feasible=share(0.4, spread))}
    assert is_doubtful(found) is doubtful


def test_a_share_without_an_interval_is_shown_alone() -> None:
    """A summary may have none: it was a traceback."""
    alone = {**share(0.4), "interval": None}
    found = {"training": figures(warned=alone), "held_out": figures(safe_feasible=alone)}
    assert held_out_rows(found)[0]["warned"] == "40.0 %"
    assert "only in 40.0 % (100.0 % held out) of the episodes with a violation the last" in held_out_verdict(found)
    assert is_doubtful({"training": figures(warned=alone) | {"foreseen": share(0.9)}}) is False
    assert [figure.met for figure in held_out_figures(found)] == [True, True, False, True, True, True]


def test_without_episodes_of_both_kinds_there_is_no_verdict_but_a_bad_one() -> None:
    nothing = {"safe_episodes": 0, "safe_feasible": None, "fallback_safe": None}
    assert is_doubtful({"training": figures(**nothing)}) is None
    assert held_out_verdict({"training": figures(**nothing)}).startswith(
        "No verdict before simulation: no training episode is without a violation."
    )
    assert is_doubtful({"training": figures(**nothing, violating_feasible=0.5)}) is True
    old = {"training": {name: value for name, value in figures().items() if name != "similar_values"}}
    assert is_doubtful(old) is False
    assert is_doubtful({"training": figures(similar_values=0.1)}) is True
    assert is_doubtful({}) is None
    assert held_out_verdict({"reason": "it is early"}) == "No verdict before simulation: it is early."


def test_the_page_shows_verdict_and_figures(tmp_path: Any) -> None:
    found = {"training": figures(fallback_safe=0.62)}
    write_report(tmp_path / "page.html", title="A run", summary={"held_out": found}, figures={})
    page = (tmp_path / "page.html").read_text()
    assert "Before simulation" in page
    assert "doubtful" in page
    assert "62.0 % [52.0, 72.0]" in page
    assert held_out_rows(found)[0]["steps of warning"] == "9 [4, 15]"


# --- what is judged ---


def test_few_episodes_and_values_of_other_kinds_are_not_judged() -> None:
    few = episodes_to_judge(EpisodeOrder(), logged(SAFE, WARNED), None)
    assert few is not None
    found = judged(EpisodeOrder(), jnp.zeros(1), few)
    assert found == {"reason": "expected at least 20 training episodes, found 2"}
    assert episodes_to_judge(EpisodeOrder(forbids_violations=False), logged(SAFE), None) is None
    assert episodes_to_judge(object(), logged(SAFE), None) is None


def test_held_out_episodes_are_judged_beside_the_training_ones() -> None:
    episodes = episodes_to_judge(EpisodeOrder(), logged(*[SAFE] * 10, *[WARNED] * 10), logged(SAFE, MISSED))
    assert episodes is not None
    found = judged(EpisodeOrder(), jnp.zeros(1), episodes)
    assert (found["training"]["episodes"], found["held_out"]["episodes"]) == (20, 2)
    assert (found["training"]["warned"]["share"], found["held_out"]["warned"]["share"]) == (1.0, 0.0)
    assert found["verdict"] == held_out_verdict(found)
