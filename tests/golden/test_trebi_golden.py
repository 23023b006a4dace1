"""TREBI against numbers computed with its public implementation (shared/golden/README.md). Every key is checked."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from surefoot.algorithms.trebi import TREBI
from surefoot.algorithms.trebi import agent as trebi_agent
from surefoot.algorithms.trebi.agent import model_loss, value_loss, value_outputs
from surefoot.algorithms.trebi.segments import Segments
from surefoot.data import Dataset
from surefoot.data.windows import sums_to_go, window_starts
from surefoot.diffusion import schedules
from surefoot.diffusion.clean import log_variance, make_steps
from surefoot.diffusion.policy import add_noise
from surefoot.hyperparameters import change
from surefoot.nn import TemporalConfig, TemporalUNet, TrajectoryValue
from surefoot.planning import GuideConfig, choose_plan, fix_observation, guide_gradient, sample_segments

RTOL, ATOL = 1e-4, 1e-5
ACTIONS, OBSERVATIONS, HORIZON = 2, 5, 16
SIZES = TemporalConfig(width=32, multipliers=(1, 2, 4))
SCHEDULE = schedules.make_schedule("cosine", 20)
STEPS = make_steps(SCHEDULE, sampler="ancestral", temperature=0.0)
GUIDE = GuideConfig(kind="hinge", cost_weight=5.0, units="raw", steps=2, scale=0.1, stop=2)
HERE = Path(__file__).parent


def close(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=RTOL, atol=ATOL)


@pytest.fixture(scope="module")
def golden():
    with np.load(HERE / "trebi.npz") as archive:
        return {key: archive[key] for key in archive.files}


def fill(entry: dict[str, Any]) -> np.ndarray:
    """The array of a list's entry in PyTorch's layout, then in ours: [k, in, out] or [in, out]."""
    shape = tuple(entry["shape"])
    s = np.sin(0.731 * np.arange(np.prod(shape)) + entry["salt"]).reshape(shape)
    if entry["kind"] == "kernel":
        values = entry["gain"] * np.sqrt(2.0 / np.prod(shape[1:])) * s
    else:
        values = (1.0 if entry["kind"] == "scale" else 0.0) + 0.1 * s
    if len(shape) == 3:
        # Conv1d is [out, in, k]; only ConvTranspose1d, [in, out, k], has four taps.
        values = values.transpose((2, 0, 1) if shape[2] == 4 else (2, 1, 0))
        values = values[0] if shape[2] == 1 else values
    elif len(shape) == 2:
        values = values.T
    return values.astype(np.float32)


def filled(modules: Any, name: str) -> Any:
    """The modules, which are in the order of execution, with the file's arrays."""
    entries = json.loads((HERE / "trebi_parameters.json").read_text())[name]
    leaves, structure = jax.tree.flatten(modules)
    arrays = [jnp.asarray(fill(entry)) for entry in entries]
    assert [array.shape for array in arrays] == [leaf.shape for leaf in leaves]
    return jax.tree.unflatten(structure, arrays)


@pytest.fixture(scope="module")
def unet() -> TemporalUNet:
    net = TemporalUNet.create(jax.random.key(0), OBSERVATIONS, ACTIONS, SIZES)
    down = [(blocks, net.downsample[level : level + 1]) for level, blocks in enumerate(net.down)]
    order = (net.time, down, net.middle, list(zip(net.up, net.upsample, strict=True)), net.exit_block, net.exit)
    time, down, middle, up, exit_block, exit_ = filled(order, "unet")
    return TemporalUNet(
        time=time,
        down=tuple(blocks for blocks, _ in down),
        downsample=tuple(one for _, ones in down for one in ones),
        middle=middle,
        up=tuple(blocks for blocks, _ in up),
        upsample=tuple(upsample for _, upsample in up),
        exit_block=exit_block,
        exit=exit_,
        action_dim=ACTIONS,
    )


@pytest.fixture(scope="module")
def values() -> dict[str, TrajectoryValue]:
    """The fields of a value network are in the order of execution."""
    fresh = TrajectoryValue.create(jax.random.key(0), ACTIONS + OBSERVATIONS, HORIZON, SIZES)
    return {name: filled(fresh, name) for name in ("value_r", "value_c")}


@pytest.fixture(scope="module")
def both(values: dict[str, TrajectoryValue]) -> TrajectoryValue:
    """The two stacked, as TREBI has them."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), values["value_r"], values["value_c"])


@pytest.fixture(scope="module")
def reward_and_cost(both: TrajectoryValue):
    def predict(x: Any, t: Any) -> Any:
        outputs = value_outputs(both, x, t, jnp.zeros(len(x)), know_time_left=False)
        return outputs[0, 0], outputs[1, 0]

    return jax.jit(predict)


@pytest.fixture(scope="module")
def gradient(reward_and_cost):
    """(x, t, budget, reward_scale, cost_weight) -> gradient and (R, C) of the hinge; compiled once for all tests."""

    def run(x: Any, t: Any, budget: Any, reward_scale: Any, cost_weight: Any) -> Any:
        return guide_gradient(
            reward_and_cost, x, t, budget, kind="hinge", reward_scale=reward_scale, cost_weight=cost_weight
        )

    return jax.jit(run)


@pytest.fixture(scope="module")
def step(golden, unet, gradient):
    """(x, budget, time) -> x guided, x after the step, (R, C) of both guide evaluations, from programs compiled for
    other tests."""
    observation = jnp.broadcast_to(golden["step/s0"], (4, OBSERVATIONS))

    def run(x: Any, budget: Any, time: int) -> Any:
        at = type(STEPS)(*(column[19 - time] for column in STEPS))
        t, found = jnp.full(4, time, jnp.float32), []
        scale = GUIDE.scale * at.variance if time >= GUIDE.stop else 0.0
        for _ in range(GUIDE.steps):
            slope, values = gradient(x, t, budget, 1.0, jnp.float32(GUIDE.cost_weight))
            x = fix_observation(x + scale * slope, observation)
            found.append(values)
        clean = unet_stages(unet, x, t)[1]
        return x, fix_observation(at.keep * x + at.clean * clean, observation), found

    return run


def noisy_batch(golden: dict[str, np.ndarray]) -> tuple[Any, Any]:
    return jnp.asarray(golden["batch/x_noisy"]), jnp.asarray(golden["batch/t"], jnp.float32)


def test_schedule(golden) -> None:
    close(SCHEDULE.betas, golden["schedule/betas"])
    close(SCHEDULE.alpha_bars, golden["schedule/alpha_bars"])
    steps = make_steps(SCHEDULE, sampler="ancestral")
    assert steps.time.tolist() == list(range(19, -1, -1))
    close(steps.variance[::-1], golden["schedule/posterior_variance"])
    close(log_variance(steps.variance[::-1].astype(np.float64)), golden["schedule/posterior_log_variance"])
    close(steps.clean[::-1], golden["schedule/mean_coef_x0"])
    close(steps.keep[::-1], golden["schedule/mean_coef_xt"])
    close(steps.deviation[::-1][1:], np.exp(0.5 * golden["schedule/posterior_log_variance"][1:]))


def test_noised_batch(golden) -> None:
    x0 = jnp.asarray(golden["batch/x0"])
    noisy = add_noise(x0, jnp.asarray(golden["batch/noise"]), jnp.asarray(golden["batch/t"]), SCHEDULE)
    close(fix_observation(noisy, x0[:, 0, ACTIONS:]), golden["batch/x_noisy"])


def check_stages(golden: dict[str, np.ndarray], network: str, stages: dict[str, Any]) -> None:
    for place, stage in stages.items():
        values = np.asarray(stage, np.float64)
        close((values.mean(), np.sqrt((values**2).mean())), golden[f"stage/{network}/{place}"])
    assert {f"stage/{network}/{place}" for place in stages} == {
        key for key in golden if key.startswith(f"stage/{network}/")
    }


@jax.jit
def unet_stages(unet: TemporalUNet, x: Any, t: Any) -> tuple[dict[str, Any], Any]:
    """The forward pass written out once more, with each intermediate result; and what the network itself says."""
    whole, embedding = unet(x, t), unet.time(t)
    stages, skips = {"time": embedding}, []
    for level, blocks in enumerate(unet.down):
        for number, block in enumerate(blocks):
            stages[f"down{level}.block{number}"] = x = block(x, embedding)
        skips.append(x)
        if level < len(unet.downsample):
            stages[f"down{level}.resample"] = x = unet.downsample[level](x)
    for number, block in enumerate(unet.middle):
        stages[f"mid{number}.block"] = x = block(x, embedding)
    for level, blocks in enumerate(unet.up):
        x = jnp.concatenate([x, skips.pop()], -1)
        for number, block in enumerate(blocks):
            stages[f"up{level}.block{number}"] = x = block(x, embedding)
        stages[f"up{level}.resample"] = x = unet.upsample[level](x)
    return stages, whole


@jax.jit
def value_stages(network: TrajectoryValue, x: Any, t: Any) -> tuple[dict[str, Any], Any]:
    whole, embedding = network(x, t), network.time(t)
    stages = {"time": embedding}
    for level, (first, second, downsample) in enumerate(network.levels):
        stages[f"down{level}.block0"] = x = first(x, embedding)
        stages[f"down{level}.block1"] = x = second(x, embedding)
        stages[f"down{level}.resample"] = x = downsample(x)
    for level, (block, downsample) in enumerate(network.middle):
        stages[f"mid{level}.block"] = x = block(x, embedding)
        stages[f"mid{level}.resample"] = x = downsample(x)
    return stages, whole[:, 0]


def test_stages_of_the_unet(golden, unet) -> None:
    stages, whole = unet_stages(unet, *noisy_batch(golden))
    check_stages(golden, "unet", stages)
    close(whole, golden["forward/unet"])


@pytest.mark.parametrize("name", ["value_r", "value_c"])
def test_stages_of_the_values(golden, values, name: str) -> None:
    stages, whole = value_stages(values[name], *noisy_batch(golden))
    check_stages(golden, name, stages)
    close(whole, golden[f"forward/{name}"])


def test_the_stacked_values_say_what_each_says(golden, reward_and_cost) -> None:
    reward, cost = reward_and_cost(*noisy_batch(golden))
    close(reward, golden["forward/value_r"])
    close(cost, golden["forward/value_c"])


def test_losses_and_gradients(golden, unet, both, monkeypatch) -> None:
    """At the file's own noise and times."""
    x0 = jnp.asarray(golden["batch/x0"])
    noise, t = jnp.asarray(golden["batch/noise"]), jnp.asarray(golden["batch/t"])
    noisy = add_noise(x0, noise, t, SCHEDULE)
    monkeypatch.setattr(trebi_agent, "draw_noisy", lambda *_: (noisy, noise, t.astype(jnp.float32)))
    key = jax.random.key(0)
    loss_of = partial(model_loss, schedule=SCHEDULE, first_action_weight=10.0)
    (loss, metrics), gradient = jax.jit(jax.value_and_grad(loss_of, has_aux=True))(unet, x0, key)
    close(loss, golden["loss/unet"])
    close(optax.tree.norm(gradient), golden["loss/unet_grad_norm"])
    close(metrics["model/first_action_error"] / 10, golden["loss/a0_info"])  # the public code divides once more

    target = jnp.asarray(golden["loss/value_target"])
    segments = Segments(x0, jnp.stack([target, target], -1), jnp.ones(4))
    options: Any = {"scales": (jnp.zeros(2), jnp.ones(2)), "action_dim": ACTIONS, "schedule": SCHEDULE}
    loss_of = partial(value_loss, know_time_left=False, **options)
    gradient, metrics = jax.jit(jax.grad(loss_of, has_aux=True))(both, segments, key)
    close(metrics["values/reward_loss"], golden["loss/value_r"])
    close(optax.tree.norm(jax.tree.map(lambda leaf: leaf[0], gradient)), golden["loss/value_r_grad_norm"])


def test_guide_gradients(golden, gradient) -> None:
    x, t = noisy_batch(golden)
    budget, weight = jnp.full(4, golden["guide/b"]), jnp.asarray(golden["guide/w_c"])
    close(gradient(x, t, budget, 1.0, weight)[0], golden["guide/g_type1"])
    close(gradient(x, t, budget, 1.0, jnp.zeros(()))[0], golden["guide/grad_r"])
    close(-gradient(x, t, jnp.full(4, -1e6), 0.0, jnp.ones(()))[0], golden["guide/grad_c"])

    def linear(moved: Any, t: Any) -> Any:
        """As much and as steep at x as the networks, which is all that a gradient there depends on."""
        rise = lambda letter: ((moved - x) * golden[f"guide/grad_{letter}"]).sum((1, 2))  # noqa: E731
        return tuple(golden[f"forward/value_{letter}"] + rise(letter) for letter in "rc")

    close(guide_gradient(linear, x, t, budget, kind="exponential", cost_weight=weight)[0], golden["guide/g_type0"])


@pytest.mark.parametrize("time", [19, 10, 2, 1, 0])
def test_one_guided_step(golden, step, time: int) -> None:
    assert float(golden["step/w_c"]) == GUIDE.cost_weight
    guided, after, found = step(jnp.asarray(golden["step/x"]), jnp.full(4, golden[f"step/t{time}/b"]), time)
    for number, (reward, cost) in enumerate(found):
        close(reward, golden[f"step/t{time}/R"][number])
        close(cost, golden[f"step/t{time}/C"][number])
    close(guided, golden[f"step/t{time}/x_guided"])
    close(after, golden[f"step/t{time}/x_next"])


def test_the_whole_plan(golden, unet, reward_and_cost, step) -> None:
    """Step by step, and in the sampler's one loop, which computes no gradient below time 2."""
    x, observation = jnp.asarray(golden["step/x"]), jnp.broadcast_to(golden["step/s0"], (4, OBSERVATIONS))
    budget = jnp.full(4, golden["plan/b"])
    whole = jax.jit(
        lambda x: sample_segments(
            unet, reward_and_cost, x, observation, budget, jax.random.key(0), steps=STEPS, guide_config=GUIDE
        )
    )(x)
    for time in range(19, -1, -1):
        _, x, _ = step(x, budget, time)
        if (key := f"plan/x_after_t{time}") in golden:
            close(x, golden[key])
    close(x, golden["plan/x0"])
    close(whole.segments, golden["plan/x0"])
    close(whole.reward, golden["plan/R"])
    close(whole.cost, golden["plan/C"])


def test_selection(golden) -> None:
    budget = jnp.asarray(golden["select/b"])
    reward, cost = (jnp.broadcast_to(golden[f"select/{name}"], (5, 8)) for name in "RC")
    assert choose_plan(reward, cost, budget).tolist() == golden["select/chosen"].tolist()


@pytest.mark.parametrize("discount", [0.99, 0.997])
def test_budgets(golden, discount: float) -> None:
    """b_{t+1} = (b_t - c_t) / budget_discount."""
    algorithm = change(TREBI(), cost_discount=discount)
    budgets = [float(golden["budget/b0"])]
    for cost in golden["budget/costs"][:-1]:
        budgets.append((budgets[-1] - float(cost)) / algorithm.budget_discount)
    close(budgets, golden[f"budget/gamma{round(1000 * discount)}"])


def test_rewards_and_costs_to_come(golden) -> None:
    """Episode 0 ends by time, episode 1 by termination, with penalties -100 and +100."""
    names = [(golden[f"rtg/ep{index}/rewards"], golden[f"rtg/ep{index}/costs"]) for index in range(2)]
    rewards, costs = (np.concatenate(parts) for parts in zip(*names, strict=True))
    flags = np.zeros((2, 34), bool)
    flags[0, 33] = flags[1, 23] = True
    nothing = np.zeros((34, 1), np.float32)
    dataset = Dataset("Golden", nothing, nothing, rewards, costs, nothing, flags[0], flags[1])
    starts = window_starts(dataset, length=16, longest=32)
    for discount in (0.99, 0.997):
        for letter, per_step, penalty in (("R", rewards, -100.0), ("C", costs, 100.0)):
            found = sums_to_go(per_step, dataset, discount=discount, at_termination=penalty)[starts]
            expected = [golden[f"rtg/ep{index}/{letter}_gamma{round(1000 * discount)}"] for index in range(2)]
            close(found, np.concatenate(expected))


def test_every_key_of_the_file_is_checked(golden) -> None:
    families = {"schedule", "batch", "stage", "forward", "loss", "guide", "step", "plan", "select", "budget", "rtg"}
    assert {key.split("/")[0] for key in golden} == families
    assert sum(key.startswith("stage/") for key in golden) == 17 + 2 * 14
