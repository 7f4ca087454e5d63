"""The fused training step on tiny environments: it learns, bootstraps right, and is one on all devices."""

from dataclasses import replace
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats
from flax import struct
from helpers.compiling import compilations
from helpers.point_env import ONE_CLIP, POINT_CONFIG, TRACED_STEPS, PointEnv, causes, step_result
from helpers.small_run import sway

from mjx_mimic.config import EnvConfig, NetworkConfig, PPOConfig, TrainConfig
from mjx_mimic.learning import ppo
from mjx_mimic.learning.devices import DEVICES, average, first_device, map_devices, place
from mjx_mimic.learning.learner import Learner, TrainState, evaluate, make_batch, starts_in_force
from mjx_mimic.learning.metrics import AdvantageMoments, Metrics, summarize
from mjx_mimic.learning.networks import Actor, Critic
from mjx_mimic.learning.normalizer import Normalizer, empty
from mjx_mimic.learning.policy import Policy, ValueFunction
from mjx_mimic.learning.rollout import Transition, mean_of_known, rollout
from mjx_mimic.learning.rollout import evaluate as rollout_evaluate
from mjx_mimic.presets import PRESETS
from mjx_mimic.runs.checkpoints import to_host
from mjx_mimic.task import start_sampling
from mjx_mimic.task.making import make_env
from mjx_mimic.task.reward import MimicKitTerms
from mjx_mimic.task.start_sampling import StartDistribution
from mjx_mimic.task.states import StepResult
from mjx_mimic.task.termination import Causes
from mjx_mimic.task.tracking_errors import TrackingErrors


@pytest.fixture(scope="module")
def devices() -> tuple[jax.Device, ...]:
    found = tuple(jax.local_devices())
    assert len(found) == 2, "conftest.py asks for two CPU devices"
    return found


@pytest.fixture(scope="module")
def first_step(devices) -> tuple[Learner, list[str]]:
    """A learner that has taken its first step, and what was compiled for that step."""
    learner = Learner(PointEnv(sign=jnp.float32(1.0)), POINT_CONFIG, devices)
    state = learner.init(jax.random.key(0))
    with compilations() as messages:
        learner.train_step(state)
    return learner, messages


@pytest.fixture(scope="module")
def learner(first_step) -> Learner:
    return first_step[0]


@pytest.fixture(scope="module")
def fleeing_learner(devices) -> Learner:
    """The same with the reward's sign flipped."""
    return Learner(PointEnv(sign=jnp.float32(-1.0)), POINT_CONFIG, devices)


def trained(learner: Learner, seed: int, steps: int) -> TrainState:
    state = learner.init(jax.random.key(seed))
    for _ in range(steps):
        state, _ = learner.train_step(state)
    return state


def test_ppo_learns_to_follow_and_with_the_rewards_sign_flipped_to_flee(learner, fleeing_learner):
    updates = 60
    before = first_device(learner.evaluate(learner.init(jax.random.key(0)), jax.random.key(9)))
    after = first_device(learner.evaluate(trained(learner, 0, updates), jax.random.key(9)))
    fled = first_device(fleeing_learner.evaluate(trained(fleeing_learner, 0, updates), jax.random.key(9)))
    # Over seeds 0 to 3: 4.5, 39.7 to 40.0 of 40 at most, and 1.0.
    assert 3.0 < before.eval_return < 7.0
    assert after.eval_return > 37.0
    assert after.eval_episode_length == 40.0
    assert -fled.eval_return < 1.5
    assert fled.eval_episode_length < 5.0


def test_the_trainings_own_return_is_that_of_the_evaluation(learner):
    state, metrics = learner.train_step(trained(learner, 1, 60))
    metrics = first_device(metrics)
    assert 36.0 < metrics.train_return <= 40.0
    assert metrics.train_episode_length == 40.0
    assert 0.85 < metrics.reward <= 1.0
    np.testing.assert_allclose(metrics.reward_terms.pose, metrics.reward, rtol=1e-5)
    assert first_device(state.iteration) == 61


# One step, all devices -------------------------------------------------------------------------------


def arrays(state: Any) -> list[np.ndarray]:
    """All leaves on the host, keys as their numbers."""
    leaves = jax.tree.leaves(state)
    return [
        np.asarray(jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x)
        for x in leaves
    ]


def assert_bitwise_equal(left: Any, right: Any) -> None:
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for a, b in zip(arrays(left), arrays(right), strict=True):
        np.testing.assert_array_equal(a, b)


def test_same_seed_gives_the_same_training_to_the_bit_and_another_seed_does_not(learner):
    first, second, other = trained(learner, 3, 3), trained(learner, 3, 3), trained(learner, 4, 3)
    assert_bitwise_equal(first, second)
    weights = [jax.tree.leaves(state.actor.params)[0] for state in (first, other)]
    assert np.abs(np.asarray(weights[0]) - np.asarray(weights[1])).max() > 1e-3


def test_a_training_resumed_from_the_host_continues_to_the_bit(learner):
    state = trained(learner, 5, 2)
    saved = jax.tree.map(np.copy, to_host(state))
    for _ in range(3):
        state, metrics = learner.train_step(state)
    resumed = place(learner.devices, replace(saved, key=jax.random.wrap_key_data(saved.key)))
    for _ in range(3):
        resumed, resumed_metrics = learner.train_step(resumed)
    assert_bitwise_equal(state, resumed)
    assert_bitwise_equal(metrics, resumed_metrics)


def test_networks_stay_equal_to_the_bit_on_both_devices_while_environments_differ(learner):
    state, metrics = learner.train_step(trained(learner, 6, 5))
    for shared in (state.actor, state.critic, state.normalizer, state.iteration, metrics):
        for leaf in arrays(shared):
            np.testing.assert_array_equal(leaf[0], leaf[1])
    for own in (state.env.position, state.env.angle, state.observation, jax.random.key_data(state.key)):
        first, second = np.asarray(own)
        assert (first != second).mean() > 0.4
    positions = np.asarray(state.env.position).reshape(-1, 2)
    assert len(np.unique(positions, axis=0)) == POINT_CONFIG.num_envs


def test_a_step_changes_every_parameter_the_normaliser_and_the_keys(learner):
    before = learner.init(jax.random.key(7))
    host = jax.tree.map(np.copy, to_host(before))
    after, metrics = learner.train_step(before)
    keys = jax.random.key_data(after.key)
    old = (host.actor.params, host.critic.params, host.normalizer, host.key)
    new = (after.actor.params, after.critic.params, after.normalizer, keys)
    for a, b in zip(arrays(old), arrays(new), strict=True):
        assert np.isfinite(b).all()
        assert not np.array_equal(a, b)
    np.testing.assert_array_equal(after.normalizer.count, np.full((2, 4), 32.0 + 32.0 * 16.0))
    assert all(np.isfinite(leaf).all() for leaf in arrays(metrics))


def test_an_update_with_a_number_that_is_not_finite_is_skipped_and_counted(learner):
    state = trained(learner, 13, 2)
    healthy = jax.tree.map(np.copy, to_host(state))
    poisoned = replace(healthy, observation=healthy.observation.copy())
    poisoned.observation[1, 0, 0] = np.nan  # of one environment on the second device
    placed = replace(poisoned, key=jax.random.wrap_key_data(poisoned.key))
    after, metrics = learner.train_step(place(learner.devices, placed))
    assert first_device(metrics.skipped) == 1.0
    for name in ("actor", "critic", "normalizer"):
        assert_bitwise_equal(getattr(after, name), getattr(healthy, name))
    restored = place(learner.devices, replace(healthy, key=jax.random.wrap_key_data(healthy.key)))
    again, metrics = learner.train_step(restored)
    assert first_device(metrics.skipped) == 0.0
    assert not np.array_equal(arrays(again.actor.params)[0], arrays(healthy.actor.params)[0])


def test_a_floor_that_has_risen_is_not_a_jump_of_the_policy(learner, devices):
    """A training that goes on with more samples in all acts from its first step as the floor asks."""
    network = replace(POINT_CONFIG.network, min_std=2.0 * POINT_CONFIG.network.initial_std)
    raised = Learner(PointEnv(sign=jnp.float32(1.0)), replace(POINT_CONFIG, network=network), devices)
    metrics = first_device(raised.train_step(trained(learner, 3, 1))[1])
    assert metrics.actor.kl < 0.1  # 0.3 for each joint if the rollout did not know of it
    assert metrics.std >= network.min_std * (1.0 - 1e-6)


def test_the_standard_deviation_falls_in_the_last_fifth_of_the_training(learner, devices):
    start = POINT_CONFIG.network.initial_std
    network = replace(POINT_CONFIG.network, min_std=start, final_std=0.2 * start)
    falling = Learner(PointEnv(sign=jnp.float32(1.0)), replace(POINT_CONFIG, network=network), devices)
    assert first_device(falling.train_step(falling.init(jax.random.key(0)))[1]).std >= start * (1.0 - 1e-6)
    state = falling.init(jax.random.key(0))
    late = replace(state, iteration=jnp.full_like(state.iteration, round(0.9 * falling.updates)))
    assert first_device(falling.train_step(late)[1]).std <= 0.62 * start


def test_train_step_compiles_exactly_once(first_step):
    learner, compiled_first = first_step
    assert len(compiled_first) == 1
    assert "_fun" in compiled_first[0]
    state = learner.init(jax.random.key(0))
    host = to_host(state)
    traced = len(TRACED_STEPS)
    with compilations() as compiled:
        for _ in range(3):
            state, _ = learner.train_step(state)
        resumed = place(learner.devices, replace(host, key=jax.random.wrap_key_data(host.key)))
        learner.train_step(resumed)
    assert not [message for message in compiled if "_fun" in message]  # the name of every mapped function
    assert len(TRACED_STEPS) == traced


def test_a_longer_training_is_the_same_program(learner):
    state = learner.init(jax.random.key(0))

    def program(total_steps: int) -> str:
        other = replace(learner, config=replace(learner.config, total_steps=total_steps))
        step = other.compile_train_step()
        return step.lower(learner.placed_env, other.placed_updates, state).as_text()  # type: ignore[attr-defined]

    assert program(10_000) == program(20_000)


def test_train_step_moves_nothing_between_host_and_devices(learner):
    state = trained(learner, 8, 1)
    with jax.transfer_guard("disallow"):
        for _ in range(3):
            state, metrics = learner.train_step(state)
        jax.block_until_ready((state, metrics))
        with pytest.raises(Exception, match="Disallowed host-to-device transfer"):  # the guard is awake
            jax.block_until_ready(metrics.reward + np.ones(2, np.float32))


def test_train_step_takes_over_the_buffers_of_the_state_it_is_given(learner):
    state = trained(learner, 9, 1)
    following, _ = learner.train_step(state)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state))
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(following))


def test_two_devices_with_the_same_environments_learn_like_one(learner, devices):
    two = learner.init(jax.random.key(10))
    one_config = replace(POINT_CONFIG, num_envs=POINT_CONFIG.num_envs // 2)
    alone = Learner(learner.env, one_config, devices[:1])
    twins = place(learner.devices, jax.tree.map(lambda x: jnp.stack([x[0], x[0]]), two))
    one = place(alone.devices, jax.tree.map(lambda x: x[:1], two))
    one = replace(one, normalizer=replace(one.normalizer, count=one.normalizer.count / 2.0))
    for _ in range(5):
        one, metrics = alone.train_step(one)
        twins, twin_metrics = learner.train_step(twins)
    np.testing.assert_array_equal(twins.env.position[0], twins.env.position[1])
    for name in ("actor", "critic", "normalizer", "env"):
        mine, theirs = getattr(one, name), getattr(twins, name)
        if name == "normalizer":
            mine = replace(mine, count=mine.count * 2.0)
        for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_allclose(np.asarray(a)[0], np.asarray(b)[0], atol=1e-5, err_msg=name)
    metrics, twin_metrics = first_device(metrics), first_device(twin_metrics)
    assert twin_metrics.episodes == 2 * metrics.episodes > 0
    doubled = jax.tree.map(lambda x: 2.0 * x, metrics.clips)  # sums, where all else is a mean
    normalizer = replace(metrics.normalizer, normalizer_samples=metrics.normalizer.normalizer_samples * 2)
    metrics = replace(metrics, episodes=metrics.episodes * 2, clips=doubled, normalizer=normalizer)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), metrics, twin_metrics)


def random_batch(observation_size: int, samples: int) -> ppo.Batch:
    rng = np.random.default_rng(0)
    observation = rng.normal(size=(samples, observation_size))
    # The halves differ, and so do their gradients and KL divergences.
    shift = np.where(np.arange(samples) < samples // 2, 0.0, 1.0)
    batch = ppo.Batch(
        observation=observation,
        action=0.3 * rng.normal(size=(samples, 2)) + shift[:, None],
        log_prob=rng.normal(size=samples) * 0.1 - shift,
        advantage=2.0 * rng.normal(size=samples) + shift,
        value_target=rng.normal(size=samples) + 10.0 * shift,
    )
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), batch)


def test_updates_from_halves_of_a_batch_on_two_devices_are_those_of_the_whole(learner):
    # SGD, because Adam would forgive a sum for a mean; the critic's gradient is clipped, the actor's not.
    config = PPOConfig(
        optimizer="sgd",
        actor_minibatches=1,
        critic_minibatches=1,
        actor_epochs=3,
        critic_epochs=3,
        max_grad_norm=8.0,
    )
    whole = random_batch(4, 64)
    halves = jax.tree.map(lambda x: x.reshape(2, 32, *x.shape[1:]), whole)
    params = [
        network.init(jax.random.key(1), whole.observation) for network in (learner.actor, learner.critic)
    ]
    actor, critic = (ppo.init_network(p, 1e-3, config) for p in params)
    actor_gradient, _ = jax.jit(
        jax.grad(lambda p: ppo.actor_loss(p, learner.actor.apply, whole, config), has_aux=True)
    )(params[0])
    critic_gradient = jax.jit(jax.grad(lambda p: ppo.critic_loss(p, learner.critic.apply, whole)))(params[1])
    actor_norm, critic_norm = optax.tree.norm(actor_gradient), optax.tree.norm(critic_gradient)
    assert actor_norm < config.max_grad_norm < critic_norm
    key = jax.random.key(2)

    def update(batch: ppo.Batch, average: Any) -> tuple:
        return (
            ppo.update_actor(actor, learner.actor.apply, batch, config, key, average),
            ppo.update_critic(critic, learner.critic.apply, batch, config, key, average),
        )

    single = jax.jit(lambda batch: update(batch, lambda tree: tree))(whole)
    mapped = jax.pmap(lambda batch: update(batch, average), axis_name=DEVICES)(halves)
    (new_actor, _), (new_critic, _) = single
    for old, new in ((actor, new_actor), (critic, new_critic)):
        moved = jax.tree.map(lambda a, b: jnp.abs(a - b).max(), old.params, new.params)
        assert max(jax.tree.leaves(moved)) > 1e-3
    assert new_actor.learning_rate != actor.learning_rate
    for a, b in zip(jax.tree.leaves(single), jax.tree.leaves(mapped), strict=True):
        np.testing.assert_array_equal(b[0], b[1])
        np.testing.assert_allclose(a, b[0], rtol=1e-4, atol=1e-6)


# Episodes on rails, where every number is known ------------------------------------------------------

NEVER, FAILS, TIMES_OUT, BOTH, BREAKS = range(5)
LENGTH = np.array([10**6, 3, 5, 4, 2])  # steps of an episode of each kind
RESET_OBSERVATION = -9.0


@struct.dataclass
class RailState:
    kind: jax.Array
    steps: jax.Array
    episode_return: jax.Array


@struct.dataclass
class RailEnv:
    """Observes the step's number, pays it too, and ends episodes as `kind` says, whatever the action."""

    kind: jax.Array
    starts: StartDistribution = ONE_CLIP
    reflection: None = struct.field(pytree_node=False, default=None)
    num_actions: int = struct.field(pytree_node=False, default=1)
    policy_inputs: None = struct.field(pytree_node=False, default=None)
    episode_steps: int = struct.field(pytree_node=False, default=8)

    def with_config(self, config: EnvConfig) -> Self:
        return self

    def reset(self, key: jax.Array, quantile: jax.Array | None = None) -> tuple[RailState, jax.Array]:
        del key, quantile
        state = RailState(self.kind, jnp.int32(0), jnp.float32(0.0))
        return state, self.observe(state)

    def observe(self, state: RailState) -> jax.Array:
        return jnp.where(state.steps == 0, RESET_OBSERVATION, state.steps.astype(jnp.float32))[None]

    def goal_results(self, state: RailState) -> dict[str, jax.Array]:
        return {}

    def step(
        self, state: RailState, action: jax.Array, key: jax.Array, sensed: None = None
    ) -> tuple[RailState, StepResult]:
        del action, key
        TRACED_STEPS.append("rail")
        reward = (state.steps + 1).astype(jnp.float32)
        reached = RailState(state.kind, state.steps + 1, state.episode_return + reward)
        ends = reached.steps >= jnp.asarray(LENGTH)[state.kind]
        broken = ends & (state.kind == BREAKS)
        ended = causes(
            fall=ends & (state.kind == FAILS),
            deviation=ends & (state.kind == BOTH),
            nonfinite=broken,
            time_out=ends & ((state.kind == TIMES_OUT) | (state.kind == BOTH)),
        )
        fresh = RailState(state.kind, jnp.int32(0), jnp.float32(0.0))
        following = jax.tree.map(lambda new, old: jnp.where(ends, new, old), fresh, reached)
        final = jnp.where(broken, jnp.nan, self.observe(reached))
        errors = TrackingErrors(*[jnp.where(broken, jnp.nan, reward)] * 8)
        return following, step_result(
            following, reached, self.observe, reward, ended, final_observation=final, errors=errors
        )


RAIL_CONFIG = replace(
    POINT_CONFIG,
    num_envs=4,
    unroll_length=8,
    eval_envs=4,
    network=NetworkConfig((), (), "tanh", 0.5),
    ppo=PPOConfig(
        actor_epochs=1, critic_epochs=1, actor_minibatches=1, critic_minibatches=1, advantage_clip=1.2
    ),
)


def linear(slope: float, offset: float) -> dict:
    """Parameters of a network without hidden layers, one input and one output."""
    layer = {"kernel": jnp.full((1, 1), slope), "bias": jnp.full((1,), offset)}
    return {"params": {"MLP_0": {"Dense_0": layer}}}


NO_LAYERS = NetworkConfig(actor_hidden=(), critic_hidden=())


@pytest.fixture(scope="module")
def rails() -> tuple[Normalizer, Transition]:
    """The normaliser and the rollout (T, N) of an environment of each kind, all functions linear."""
    kinds = jnp.arange(len(LENGTH))
    start = jax.vmap(lambda kind: RailEnv(kind).reset(None))(kinds)
    params = linear(0.2, 0.1)
    params["params"]["log_std"] = jnp.full(1, jnp.log(0.4))
    moments = Normalizer(count=jnp.ones(1), mean=jnp.array([1.0]), variance=jnp.array([4.0]))
    policy = Policy(params, moments, Actor(NO_LAYERS, 1))
    value_function = ValueFunction(linear(2.0, 0.5), moments, Critic(NO_LAYERS))
    env = RailEnv(kind=jnp.int32(NEVER))
    _, last, steps = jax.jit(lambda key: rollout(env, policy, value_function, start, 8, key))(
        jax.random.key(1)
    )
    np.testing.assert_array_equal(last[:, 0], [8.0, 2.0, 3.0, RESET_OBSERVATION, RESET_OBSERVATION])
    return moments, steps


@struct.dataclass
class EndingEnv(RailEnv):
    """The same with clips that end instead of time-outs."""

    def step(
        self, state: RailState, action: jax.Array, key: jax.Array, sensed: None = None
    ) -> tuple[RailState, StepResult]:
        following, result = RailEnv.step(self, state, action, key)
        ended = replace(result.causes, clip_end=result.causes.time_out, time_out=jnp.bool_(False))
        return following, replace(result, causes=ended)


@pytest.mark.parametrize("bootstrap", [True, False])
def test_the_value_after_a_clips_end_is_the_critics_or_0_as_in_mimickit(bootstrap):
    moments = Normalizer(count=jnp.ones(1), mean=jnp.zeros(1), variance=jnp.ones(1))
    params = linear(0.2, 0.1) | {}
    params["params"]["log_std"] = jnp.zeros(1)
    policy = Policy(params, moments, Actor(NO_LAYERS, 1))
    value_function = ValueFunction(linear(2.0, 0.5), moments, Critic(NO_LAYERS))
    env = EndingEnv(kind=jnp.int32(TIMES_OUT))
    start = jax.vmap(lambda _: env.reset(None))(jnp.arange(1))
    *_, steps = rollout(
        env, policy, value_function, start, LENGTH[TIMES_OUT], jax.random.key(0), bootstrap_clip_end=bootstrap
    )
    assert np.flatnonzero(steps.done[:, 0]).tolist() == [LENGTH[TIMES_OUT] - 1]
    expected = 2.0 * np.arange(1.0, LENGTH[TIMES_OUT] + 1) + 0.5
    expected[-1] *= bootstrap
    np.testing.assert_allclose(steps.next_value[:, 0], expected, rtol=1e-6)


def test_torchs_first_weights_are_uniform_within_their_limits():
    observation = jnp.zeros((1, 400))
    config = NetworkConfig((100,), (100,), "relu", initialization="torch")
    actor = Actor(config, 30).init(jax.random.key(0), observation)["params"]["MLP_0"]
    critic = Critic(config).init(jax.random.key(0), observation)["params"]["MLP_0"]
    for layer, limit in (
        (actor["Dense_0"], 0.05),
        (actor["Dense_1"], 0.01),
        (critic["Dense_0"], 0.05),
        (critic["Dense_1"], 0.1),
    ):
        kernel = np.asarray(layer["kernel"]).ravel()
        assert scipy.stats.kstest(kernel, "uniform", (-limit, 2.0 * limit)).pvalue > 1e-3
        np.testing.assert_array_equal(layer["bias"], 0.0)


def rail_value(observation: np.ndarray) -> np.ndarray:
    """The critic of `rails`, by hand: 2 x + 0.5 of the normalised observation."""
    return 2.0 * (np.asarray(observation, float) - 1.0) / 2.0 + 0.5


def test_the_value_after_a_step_is_that_of_the_state_before_any_reset(rails):
    _, steps = rails
    final = np.array([[(t % length) + 1.0 for length in LENGTH] for t in range(8)])  # before any reset
    ends = np.array([[(t + 1) % length == 0 for length in LENGTH] for t in range(8)])
    expected = rail_value(final)
    expected[:, [FAILS, BOTH, BREAKS]] = np.where(
        ends[:, [FAILS, BOTH, BREAKS]], 0.0, expected[:, [FAILS, BOTH, BREAKS]]
    )
    assert ends[:, TIMES_OUT].any()
    np.testing.assert_allclose(steps.next_value, expected, atol=1e-5)
    np.testing.assert_array_equal(steps.done, ends)
    # Inside an episode it is the value that the next step starts from; after an end it is not.
    inside = ~ends[:-1]
    value = np.asarray(steps.value)
    np.testing.assert_allclose(np.asarray(steps.next_value)[:-1][inside], value[1:][inside], atol=1e-5)
    np.testing.assert_allclose(value[1:][~inside], rail_value(RESET_OBSERVATION), atol=1e-5)


def test_a_transition_holds_what_was_seen_done_and_paid(rails):
    _, steps = rails
    number = np.array([[t % length for length in LENGTH] for t in range(8)])
    seen = np.where(number == 0, RESET_OBSERVATION, number)
    np.testing.assert_array_equal(steps.observation[..., 0], seen)
    np.testing.assert_allclose(steps.value, rail_value(seen), atol=1e-5)
    np.testing.assert_array_equal(steps.reward, number + 1)
    np.testing.assert_array_equal(steps.episode_length, number + 1)
    np.testing.assert_array_equal(steps.episode_return, (number + 1) * (number + 2) / 2)
    mean = 0.2 * (seen - 1.0) / 2.0 + 0.1
    std = 0.4
    action = np.asarray(steps.action)[..., 0]
    np.testing.assert_allclose(steps.log_prob, scipy.stats.norm(mean, std).logpdf(action), atol=1e-4)
    noise = (action - mean) / std
    assert len(np.unique(noise)) == noise.size
    assert abs(noise.mean()) < 0.5
    assert 0.7 < noise.std() < 1.3


def test_advantages_are_gae_normalised_over_all_devices(rails):
    moments, steps = rails
    config = RAIL_CONFIG.ppo
    steps = jax.tree.map(lambda x: x[:, :4], steps)
    halves = jax.tree.map(lambda x: jnp.stack([x[:, :2], x[:, 2:]]), steps)
    batch, advantage = jax.jit(jax.vmap(lambda half: make_batch(moments, half, config), axis_name=DEVICES))(
        halves
    )
    raw = ppo.gae(
        steps.reward,
        steps.value,
        steps.next_value,
        steps.done.astype(jnp.float32),
        config.discount,
        config.gae_lambda,
    )
    raw = np.asarray(raw, np.float64)
    np.testing.assert_allclose(advantage.advantage_mean, [raw.mean()] * 2, rtol=1e-4)
    np.testing.assert_allclose(advantage.advantage_std, [raw.std()] * 2, rtol=1e-4)
    expected = (raw - raw.mean()) / (raw.std() + 1e-5)
    assert abs(expected[:, :2].mean()) > 0.1, "the devices would agree by chance"
    clipped = np.abs(expected) > config.advantage_clip
    assert 0.05 < clipped.mean() < 0.5
    expected = np.clip(expected, -config.advantage_clip, config.advantage_clip)
    np.testing.assert_allclose(batch.advantage, [expected[:, :2].ravel(), expected[:, 2:].ravel()], atol=1e-4)
    flat = np.asarray(steps.observation)
    np.testing.assert_allclose(
        batch.observation, (np.stack([flat[:, :2], flat[:, 2:]]).reshape(2, -1, 1) - 1.0) / 2.0, atol=1e-6
    )
    target = ppo.td_lambda_return(
        steps.reward, steps.next_value, steps.done.astype(jnp.float32), config.discount, config.td_lambda
    )
    np.testing.assert_allclose(
        batch.value_target, [np.ravel(target[:, :2]), np.ravel(target[:, 2:])], rtol=1e-5
    )


@pytest.fixture(scope="module")
def rail_learner(devices) -> Learner:
    return Learner(RailEnv(kind=jnp.int32(NEVER)), RAIL_CONFIG, devices)


def on_rails(learner: Learner, kinds: list[list[int]]) -> TrainState:
    state = learner.init(jax.random.key(0))
    return replace(state, env=replace(state.env, kind=place(learner.devices, jnp.asarray(kinds))))


def test_metrics_count_whole_episodes_over_all_devices_and_updates(rail_learner):
    state, metrics = rail_learner.train_step(on_rails(rail_learner, [[FAILS, TIMES_OUT], [NEVER, BOTH]]))
    first = first_device(metrics)
    # Steps 1 to 8: failures at 3 and 6, a time-out at 5, both at 4 and 8. Lengths 3 3 5 4 4.
    assert first.episodes == 5
    np.testing.assert_allclose(first.train_episode_length, 19.0 / 5.0, rtol=1e-6)
    np.testing.assert_allclose(first.train_return, (6 + 6 + 15 + 10 + 10) / 5.0, rtol=1e-6)
    np.testing.assert_allclose(first.ended_by.fall, 2.0 / 32.0, rtol=1e-6)
    np.testing.assert_allclose(first.ended_by.deviation, 2.0 / 32.0, rtol=1e-6)
    np.testing.assert_allclose(first.ended_by.time_out, 3.0 / 32.0, rtol=1e-6)
    assert first.ended_by.nonfinite == first.ended_by.clip_end == 0.0
    # 1+2+3+1+2+3+1+2, 1+2+3+4+5+1+2+3, 36, 2 (1+2+3+4)
    np.testing.assert_allclose(first.reward, (15 + 21 + 36 + 20) / 32.0, rtol=1e-6)
    # What the normaliser has seen: the first observations, and those of the rollout.
    moments = first_device(state.normalizer)
    assert first.normalizer.normalizer_samples == moments.count == 4 + 32
    np.testing.assert_allclose(first.normalizer.normalizer_mean, np.abs(moments.mean).mean(), rtol=1e-6)
    np.testing.assert_allclose(first.normalizer.normalizer_std, np.sqrt(moments.variance).mean(), rtol=1e-6)
    metrics = rail_learner.train_step(state)[1]
    # Steps 9 to 16: failures at 9, 12, 15, time-outs at 10 and 15, both at 12 and 16; those at 9 and 10
    # began before.
    second = first_device(metrics)
    assert second.episodes == 7
    np.testing.assert_allclose(second.train_episode_length, (3 * 3 + 2 * 5 + 2 * 4) / 7.0, rtol=1e-6)
    np.testing.assert_allclose(second.train_return, (3 * 6 + 2 * 15 + 2 * 10) / 7.0, rtol=1e-6)


def test_metrics_without_an_ended_episode_are_finite(rail_learner):
    _, metrics = rail_learner.train_step(on_rails(rail_learner, [[NEVER, NEVER], [NEVER, NEVER]]))
    metrics = first_device(metrics)
    assert metrics.episodes == 0
    assert metrics.train_return == metrics.train_episode_length == 0.0
    assert all(np.isfinite(leaf) for leaf in jax.tree.leaves(metrics))


def test_a_broken_simulation_is_counted_and_leaves_the_networks_whole(rail_learner):
    state, metrics = rail_learner.train_step(on_rails(rail_learner, [[BREAKS, NEVER], [NEVER, TIMES_OUT]]))
    np.testing.assert_allclose(first_device(metrics).ended_by.nonfinite, 4.0 / 32.0)
    assert all(np.isfinite(leaf).all() for leaf in arrays((state, metrics)))


def test_an_update_starts_from_the_policy_that_acted(rail_learner):
    state = on_rails(rail_learner, [[FAILS, TIMES_OUT], [NEVER, BOTH]])
    for _ in range(3):  # while the normaliser changes a lot
        state, metrics = rail_learner.train_step(state)
        actor = first_device(metrics).actor  # of the only minibatch
        assert actor.kl < 1e-6
        assert actor.clip_fraction == 0.0


def test_explained_variance_is_that_of_all_devices_targets():
    rng = np.random.default_rng(1)
    target = rng.normal([[[0.0]], [[4.0]]], 1.0, size=(2, 6, 3))  # device, time, environment

    def explained(value: np.ndarray) -> float:
        def of_device(value: jax.Array, target: jax.Array) -> Metrics:
            zero, flags = jnp.zeros((6, 3)), jnp.zeros((6, 3), bool)
            steps = Transition(
                *(zero[..., None], zero[..., None], zero, value, zero, flags, zero),
                MimicKitTerms(*[zero] * 5),
                Causes(*[flags] * 5),
                *(zero, zero, zero.astype(int)),
            )
            flat = jnp.zeros(18)
            batch = ppo.Batch(flat[:, None], flat[:, None], flat, flat, target.reshape(-1))
            losses = ppo.ActorMetrics(*[jnp.zeros((2, 2))] * 5)
            return summarize(
                steps,
                batch,
                AdvantageMoments(zero, zero),
                losses,
                jnp.zeros((2, 2)),
                jnp.zeros(1),
                jnp.float32(0.0),
                empty(1),
                ONE_CLIP,
                jnp.bool_(False),
            )

        mapped = jax.vmap(of_device, axis_name=DEVICES)(jnp.asarray(value), jnp.asarray(target))
        np.testing.assert_array_equal(mapped.explained_variance[0], mapped.explained_variance[1])
        return float(mapped.explained_variance[0])

    noisy = target + rng.normal(size=target.shape)
    assert explained(target) == pytest.approx(1.0, abs=1e-5)
    assert explained(np.full_like(target, target.mean())) == pytest.approx(0.0, abs=1e-5)
    assert explained(noisy) == pytest.approx(1.0 - np.square(noisy - target).mean() / target.var(), abs=1e-4)
    assert explained(-target) < -1.0


def test_figures_of_clips_add_up_to_the_whole(learner):
    _, metrics = learner.train_step(trained(learner, 21, 1))
    metrics = first_device(metrics)
    (steps,), (reward,), (episodes,) = metrics.clips.steps, metrics.clips.reward, metrics.clips.episodes
    assert steps == learner.samples_per_step
    np.testing.assert_allclose(reward / steps, metrics.reward, rtol=1e-5)
    assert episodes == metrics.episodes > 0
    np.testing.assert_allclose(metrics.clips.episode_return[0] / episodes, metrics.train_return, rtol=1e-5)
    ended = metrics.ended_by
    np.testing.assert_allclose(metrics.clips.failures[0] / steps, ended.fall + ended.deviation, rtol=1e-5)


def test_a_training_of_several_clips_shares_their_practice_as_it_is_asked_to(robot):
    env = make_env([sway(), sway(0.2)], EnvConfig(), robot=robot)
    tally = start_sampling.Tally(jnp.array([1e5, 1e6]), jnp.array([5e3, 5e3]), jnp.zeros(2))

    def shares(clips: str = "one", **settings) -> np.ndarray:
        task = env.with_config(EnvConfig(clips=clips))
        return np.asarray(starts_in_force(task, TrainConfig(**settings), tally).share)

    np.testing.assert_allclose(shares(), [200 / 220, 20 / 220], atol=0.01)
    np.testing.assert_array_equal(shares(motion_share="starts"), [0.5, 0.5])
    np.testing.assert_array_equal(shares("skills"), [0.5, 0.5])  # whose episodes are of several clips
    assert PRESETS["mimickit"].motion_share == "starts"


def test_the_critic_learns_to_explain_returns(fleeing_learner):
    _, first = fleeing_learner.train_step(fleeing_learner.init(jax.random.key(11)))
    _, later = fleeing_learner.train_step(trained(fleeing_learner, 11, 60))
    assert first_device(first).explained_variance < 0.3
    assert 0.7 < first_device(later).explained_variance <= 1.0  # 0.93 to 0.97 over seeds 0 to 3


# Evaluations of the policy ---------------------------------------------------------------------------------


def test_an_evaluation_counts_the_first_episode_of_each_environment_alone(rail_learner):
    policy = rail_learner.policy(rail_learner.init(jax.random.key(0)))
    mapped = map_devices(rail_learner.devices, lambda *of: evaluate(of[0], RAIL_CONFIG, *of[1:]))
    keys = jax.random.split(jax.random.key(1), 2)

    def result(kinds: list[int]) -> tuple[float, float, float, float]:
        env = RailEnv(place(rail_learner.devices, jnp.asarray(kinds)), rail_learner.placed_env.starts)
        metrics = first_device(mapped(env, policy, keys))
        errors = vars(metrics.errors).values()
        assert len(set(map(float, errors))) == 1
        error = float(next(iter(errors)))
        length, survived = float(metrics.eval_episode_length), float(metrics.eval_survived)
        return float(metrics.eval_return), length, error, survived

    # Return, length, the mean over an episode of an error that is the number of the step, and who survived.
    assert result([FAILS, FAILS]) == (6.0, 3.0, 2.0, 0.0)  # eight steps have room for two and a half
    assert result([TIMES_OUT, TIMES_OUT]) == (15.0, 5.0, 3.0, 1.0)
    assert result([NEVER, NEVER]) == (36.0, 8.0, 4.5, 1.0)
    assert result([FAILS, TIMES_OUT]) == (10.5, 4.0, 2.5, 0.5)  # the mean over both devices
    assert result([BREAKS, BREAKS])[2:] == (1.0, 0.0)  # its second and last step has no error


@struct.dataclass
class AimingEnv(RailEnv):
    """The same with a goal that is reached at once."""

    def goal_results(self, state: RailState) -> dict[str, jax.Array]:
        return {"success": jnp.float32(1.0)}

    def step(
        self, state: RailState, action: jax.Array, key: jax.Array, sensed: None = None
    ) -> tuple[RailState, StepResult]:
        following, result = RailEnv.step(self, state, action, key)
        return following, replace(result, goal_results=self.goal_results(following))


def test_whoever_fails_has_not_reached_the_goal(rail_learner):
    policy = first_device(rail_learner.policy(rail_learner.init(jax.random.key(0))))
    for kind, success in ((FAILS, 0.0), (TIMES_OUT, 1.0), (NEVER, 1.0)):
        metrics = rollout_evaluate(AimingEnv(jnp.int32(kind)), policy, 3, jax.random.key(0))
        assert metrics.goal["success"] == success


@struct.dataclass
class NotingEnv(RailEnv):
    """Notes the settings that it is given."""

    def with_config(self, config: EnvConfig) -> Self:
        NOTED.append(config)
        return self


NOTED: list[EnvConfig] = []


def test_evaluations_start_anywhere_and_end_early_whatever_the_training_does(rail_learner):
    """Else a training without endings would be complete at once."""
    task = EnvConfig(start="first", fall_ends=False, max_deviation=None)
    config = replace(RAIL_CONFIG, env=task)
    mapped = map_devices(rail_learner.devices, lambda *of: evaluate(of[0], config, *of[1:]))
    env = NotingEnv(jnp.zeros(2, jnp.int32), rail_learner.placed_env.starts)
    policy = rail_learner.policy(rail_learner.init(jax.random.key(0)))
    mapped(env, policy, jax.random.split(jax.random.key(0), 2))
    assert (NOTED[-1].start, NOTED[-1].fall_ends, NOTED[-1].max_deviation) == ("random", True, 0.5)


@struct.dataclass
class StratifiedEnv(RailEnv):
    """Fails at once in a quarter of the starts, and survives from all others."""

    def reset(self, key: jax.Array, quantile: jax.Array | None = None) -> tuple[RailState, jax.Array]:
        assert quantile is not None
        kind = jnp.where((quantile > 0.25) & (quantile < 0.5), FAILS, NEVER)
        state = RailState(kind, jnp.int32(0), jnp.float32(0.0))
        return state, self.observe(state)


def test_as_many_episodes_start_where_it_fails_as_there_are_such_starts(rail_learner):
    """Whatever the key, however many devices: not more or less by chance."""
    config = replace(RAIL_CONFIG, eval_envs=16)
    mapped = map_devices(rail_learner.devices, lambda *of: evaluate(of[0], config, *of[1:]))
    env = StratifiedEnv(jnp.zeros(2, jnp.int32), rail_learner.placed_env.starts)
    policy = rail_learner.policy(rail_learner.init(jax.random.key(0)))
    for seed in range(3):
        metrics = first_device(mapped(env, policy, jax.random.split(jax.random.key(seed), 2)))
        assert metrics.eval_survived == 0.75


def test_an_evaluation_acts_with_the_policys_mean_and_depends_on_its_key_alone(learner):
    state = trained(learner, 12, 10)
    result = learner.evaluate(state, jax.random.key(0))
    assert_bitwise_equal(result, learner.evaluate(state, jax.random.key(0)))
    other = learner.evaluate(state, jax.random.key(1))
    assert first_device(other).eval_return != first_device(result).eval_return
    params = state.actor.params["params"]
    wild = {"params": {**params, "log_std": params["log_std"] + 3.0}}  # twenty times the noise
    noisy = replace(state, actor=replace(state.actor, params=wild))
    assert_bitwise_equal(result, learner.evaluate(noisy, jax.random.key(0)))
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(state))  # nothing is donated


def test_what_one_device_does_not_know_the_others_say():
    """Means over all episodes that have a figure, however they are spread over the devices."""
    values = jnp.array([[np.nan, np.nan], [2.0, np.nan], [3.0, 4.0]])
    found = jax.vmap(lambda x: mean_of_known(x, "devices"), axis_name="devices")(values)
    np.testing.assert_allclose(found, 3.0)
    assert np.isnan(mean_of_known(values[0]))
