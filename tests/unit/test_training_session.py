"""A planner under budgets in Python: `act` with what is left, and sessions that keep count of it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from tests.data_fixtures import is_one_sentence
from tests.stub_planner import StubPlanner
from tests.stub_run import know_the_stub, stub_run
from tests.toy_algorithm import SPEC, ToyAlgorithm

from surefoot.errors import ConfigError
from surefoot.safety.calibration import Calibration, write_calibration
from surefoot.training import LoadedPolicy, load_policy, make_config
from surefoot.training.chunk import state_template

ZEROS = np.zeros(2, np.float32)


@pytest.fixture
def planner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedPolicy:
    know_the_stub(monkeypatch)
    return load_policy(stub_run(tmp_path / "run", StubPlanner()))


@pytest.fixture(scope="module")
def plain_policy() -> LoadedPolicy:
    """An algorithm that knows of no budget."""
    toy = ToyAlgorithm()
    config = make_config(
        toy, name="toy", task="none", spec=SPEC, seeds=(0,), data_path="", data_fingerprint="", log_interval=1,
        checkpoint_interval=1,
    )  # fmt: skip
    template = state_template(toy, SPEC, (0,))
    zeros = {name: np.zeros(getattr(template, name).shape[1:], np.float32) for name in ("value", "policy")}
    state = template._replace(value=zeros["value"], policy=zeros["policy"], value_target=zeros["value"],
                              first_value=zeros["value"], updates=np.int32(0), key=None)  # fmt: skip
    return LoadedPolicy(toy, state, config=config, seed=0, step=0)


def test_act_spends_what_is_left(planner: LoadedPolicy) -> None:
    np.testing.assert_allclose(planner.act(ZEROS, 0.25), [0.25])
    np.testing.assert_allclose(planner.act(ZEROS, np.inf), [1.0])
    np.testing.assert_allclose(planner.act(ZEROS, -3.0), [0.0])
    np.testing.assert_allclose(planner.act(np.zeros((3, 2)), [0.5, 2.0, 0.0]), [[0.5], [1.0], [0.0]])
    np.testing.assert_allclose(planner.act(np.zeros((3, 2)), 0.5), [[0.5]] * 3)


@pytest.mark.parametrize(
    ("observation", "left", "part"),
    [
        (ZEROS, None, "remaining_budget: expected the cost that is allowed (inf for no limit), found none"),
        (ZEROS, np.nan, "found NaN"),
        (ZEROS, [1.0, 2.0], "expected one number or the shape [], found [2]"),
        (np.zeros((3, 2)), [1.0, 2.0], "expected one number or the shape [3], found [2]"),
        (ZEROS, "much", "found 'much'"),
    ],
)
def test_budgets_that_act_refuses(observation: np.ndarray, left: object, part: str, planner: LoadedPolicy) -> None:
    with pytest.raises(ConfigError) as refused:
        planner.act(observation, left)  # type: ignore[arg-type]
    assert part in str(refused.value)
    assert is_one_sentence(str(refused.value))


def test_act_knows_the_step_of_the_episode(planner: LoadedPolicy) -> None:
    # The stub acts -1 where the step is not that of its memory, which is empty here.
    np.testing.assert_allclose(planner.act(ZEROS, 0.5, step=3), [-1.0])
    with pytest.raises(ConfigError, match="step: expected at least 0, found -1"):
        planner.act(ZEROS, 0.5, step=-1)


def test_a_warm_session_has_compiled_its_first_step(plain_policy: LoadedPolicy) -> None:
    cold, warm = (plain_policy.session(key=jax.random.key(1)) for _ in range(2))
    compiled: Any = plain_policy._step
    before = compiled._cache_size()
    assert warm.warm_up(5) > 0
    assert compiled._cache_size() == before + 1
    assert warm.steps == 0
    observations = np.ones((5, 3), np.float32)
    np.testing.assert_array_equal(warm.act(observations), cold.act(observations))
    assert compiled._cache_size() == before + 1
    with pytest.raises(ConfigError, match="num_envs: expected 5, as there are in this session, found 2"):
        warm.warm_up(2)
    with pytest.raises(ConfigError, match="num_envs: expected at least 1, found 0"):
        plain_policy.session().warm_up(0)


def test_a_planner_warms_up_for_as_many_as_it_has_budgets(planner: LoadedPolicy) -> None:
    session = planner.session([1.0, 2.0])
    session.warm_up()
    np.testing.assert_allclose(session.remaining, [1.0, 2.0])
    assert session.act(np.zeros((2, 2))).shape == (2, 1)


def test_a_session_keeps_count(planner: LoadedPolicy) -> None:
    session = planner.session(budget=1.5)
    spent = []
    for _ in range(3):
        action = session.act(ZEROS)
        session.pay(action[0])
        spent.append(float(action[0]))
    # 1 of 1.5, then the 0.5 that is left, then nothing. The stub acts -1 where its memory is not its own.
    assert spent == [1.0, 0.5, 0.0]
    assert session.remaining == 0.0
    session.change_budget(3.0)
    assert session.remaining == 1.5
    np.testing.assert_allclose(session.act(ZEROS), [1.0])
    assert session.steps == 4


def test_a_session_of_many(planner: LoadedPolicy) -> None:
    session = planner.session([0.5, np.inf])
    np.testing.assert_allclose(session.act(np.zeros((2, 2))), [[0.5], [1.0]])
    session.pay([2.0, 2.0])
    np.testing.assert_allclose(session.remaining, [-1.5, np.inf])
    np.testing.assert_allclose(session.act(np.zeros((2, 2))), [[0.0], [1.0]])
    session.change_budget([3.0, 0.0])
    np.testing.assert_allclose(session.remaining, [1.0, -2.0])


def test_a_session_discounts_as_its_planner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    know_the_stub(monkeypatch)
    session = load_policy(stub_run(tmp_path / "run", StubPlanner(budget_discount=0.5))).session(2.0)
    session.act(ZEROS)
    session.pay(1.0)
    assert session.remaining == 2.0  # (2 - 1) / 0.5


def test_a_session_plans_with_the_margins_of_the_run(planner: LoadedPolicy) -> None:
    assert planner.path is not None
    with pytest.raises(ConfigError, match="needs the margins of `surefoot calibrate`"):
        planner.session(1.5, level=0.1)
    # 0.75 is kept to where 0.25 is given, and 1.375, too; 2 where 2 is given, and more needs no margin.
    found = Calibration(
        "budgets", planner.step, 1, {}, 1, 1, "rows", {"0": {"0.1": [[0.25, 2.0], [0.75, 2.0]]}},
        checkpoint_sha256=planner.checkpoint_sha256,
    )  # fmt: skip
    write_calibration(planner.path, found)
    session = planner.session([0.75, 1.375, np.inf], level=0.1)
    np.testing.assert_allclose(session.remaining, [0.75, 1.375, np.inf])
    np.testing.assert_allclose(session.act(np.zeros((3, 2))), [[0.25], [0.25], [1.0]])
    session.change_budget(0.75)
    np.testing.assert_allclose(session.act(np.zeros((3, 2))), [[0.25]] * 3)
    with pytest.raises(ConfigError, match="expected one that was calibrated"):
        planner.session(1.5, level=0.2)
    with pytest.warns(UserWarning, match="the level 0.1 is not known to hold under 0.5: .* less than 0.75;"):
        session.change_budget([0.5, 0.75, 3.0])


def test_what_a_session_refuses(planner: LoadedPolicy) -> None:
    session = planner.session([1.0, 2.0])
    refusals = [
        (planner.session, "budget: expected the cost that is allowed"),
        (lambda: planner.session(-1.0), "budget: expected at least 0 (inf for no limit), found -1"),
        (lambda: planner.session([[1.0]]), "expected one number or a list"),
        (lambda: session.act(ZEROS), "observation: expected 2 of them in this session, found 1"),
        (lambda: session.pay(np.nan), "cost: expected a number"),
        (lambda: session.pay(np.inf), "cost: expected a finite number for each budget"),
        (lambda: session.pay([0.5, -1.0]), "cost: expected at least 0, found -1"),
        (lambda: planner.session(1.0, level=np.nan), "level: expected a number in (0, 1), found nan"),
        (lambda: planner.act(ZEROS, 1.0, step=True), "step: expected a whole number, found True"),
        (
            lambda: planner.act(ZEROS, 1.0, step=10**30),
            "step: expected at most 2147483647, found a number of 31 digits",
        ),
        (lambda: session.pay([1.0, 2.0, 3.0]), "cost: expected a finite number for each budget"),
        (lambda: session.change_budget([1.0] * 3), "expected one number or the shape [2], found [3]"),
    ]
    for refused, part in refusals:
        with pytest.raises(ConfigError) as error:
            refused()
        assert part in str(error.value)
        assert is_one_sentence(str(error.value))


def test_a_policy_without_budget_takes_none(plain_policy: LoadedPolicy) -> None:
    with pytest.raises(ConfigError, match="algorithm 'toy' plans under no budget; leave it out"):
        plain_policy.act(np.zeros(3), 1.0)
    with pytest.raises(ConfigError, match="plans under no budget"):
        plain_policy.session(1.0)
    with pytest.raises(ConfigError, match="level: expected a run with a planner under budgets, found 'toy'"):
        plain_policy.session(level=0.1)
    session = plain_policy.session()
    first, second = session.act(np.zeros(3)), session.act(np.zeros(3))
    assert first.shape == (2,)
    assert (first != second).any()  # new noise at each step
    with pytest.raises(ConfigError, match="expected 1 of them in this session, found 4"):
        session.act(np.zeros((4, 3)))


def test_threads_that_share_a_session_are_refused_and_no_action_is_wrong(plain_policy: LoadedPolicy) -> None:
    alone = plain_policy.session()
    wanted = [alone.act(np.zeros(3)).tobytes() for _ in range(200)]
    shared, seen, refused = plain_policy.session(), [], []

    def act(_: int) -> None:
        try:
            seen.append(shared.act(np.zeros(3)).tobytes())
        except ConfigError as error:
            refused.append(str(error))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(act, range(200)))
    # Those that came through are the episode's first actions, each once.
    assert sorted(seen) == sorted(wanted[: len(seen)])
    assert len(seen) + len(refused) == 200 == shared.steps + len(refused)
    assert all(sentence.startswith("session: expected one thread at a time") for sentence in refused)


def test_a_second_thread_in_the_middle_of_a_call_is_refused(planner: LoadedPolicy) -> None:
    session = planner.session(2.0)

    def meanwhile(rows: Any) -> Any:
        for call in (lambda: session.act(ZEROS), lambda: session.pay(1.0), lambda: session.change_budget(1.0)):
            with pytest.raises(ConfigError, match="give each thread its own"):
                call()
        return checked(rows)

    checked = planner.checked
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planner, "checked", meanwhile)
        session.act(ZEROS)
    session.act(ZEROS)  # the session is free again
    assert session.remaining == 2.0
