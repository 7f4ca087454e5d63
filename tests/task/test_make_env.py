"""What the task is made of: settings, sizes and defaults, and the exact end of a clip. No physics here."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.robots import RigidRobot
from helpers.small_run import sway

from mjx_mimic.clips.editing import with_loop
from mjx_mimic.clips.motion import Motion
from mjx_mimic.config import EnvConfig
from mjx_mimic.robot.constants import SELF_COLLISIONS
from mjx_mimic.robot.model import Robot
from mjx_mimic.robot.quiet_mjx import mjx
from mjx_mimic.task.env import ImitationEnv
from mjx_mimic.task.making import make_env, with_contacts, with_self_collision
from mjx_mimic.task.observation import LAYOUTS
from mjx_mimic.task.start_sampling import make_starts

CLAMPED = with_loop(sway(), "clamp")


@pytest.fixture(scope="module")
def light(robot) -> RigidRobot:
    return RigidRobot(**vars(robot))


def test_a_task_takes_the_robot_that_it_is_given(robot):
    assert make_env([sway()], robot=robot).robot is robot


def test_a_robot_can_collide_with_itself_after_the_training():
    env = make_env([sway()], EnvConfig(contacts="legs", physics_hz=120.0, key_bodies=("head_link",)))
    other = with_self_collision(env)
    assert env.robot.model.npair == 0
    assert other.robot.model.npair == len(SELF_COLLISIONS)
    assert other.config == replace(env.config, self_collision=True)
    assert other.robot.model.opt.timestep == env.robot.model.opt.timestep
    np.testing.assert_array_equal(other.robot.key_bodies, env.robot.key_bodies)
    np.testing.assert_array_equal(other.robot.guarded_geoms, env.robot.guarded_geoms)


def test_the_kinematics_of_a_control_step_are_traced_once(robot, monkeypatch):
    """Of robot and reference, before and after a reset: a second for each, whenever a training starts."""
    env = make_env([sway()], robot=Robot(**vars(robot)))  # which nothing has traced yet
    calls, kinematics = [], mjx.kinematics
    monkeypatch.setattr(mjx, "kinematics", lambda *of: (calls.append(of), kinematics(*of))[1])
    key = jax.random.key(0)
    state, _ = jax.eval_shape(env.reset, key)
    jax.eval_shape(env.step, state, jnp.zeros(env.num_actions), key)
    assert len(calls) == 1


@pytest.mark.parametrize("contacts", ["feet", "full"])
def test_a_task_loads_the_robot_that_its_settings_ask_for(contacts):
    env = make_env([sway()], EnvConfig(contacts=contacts, physics_hz=240.0))
    assert env.robot.model.opt.timestep == pytest.approx(1.0 / 240.0)
    able = np.flatnonzero(env.robot.model.geom_conaffinity)
    assert (len(able) > 8) == (contacts == "full")
    assert env.substeps == 8


@pytest.mark.parametrize("options", [{"fall_ends": False}, {"ground_bodies": ("all",)}])
def test_where_a_robot_may_lie_on_the_floor_every_shape_meets_it(options):
    config = with_contacts(EnvConfig(**options), [sway()])
    assert config.contacts == "body"
    guarded = make_env([sway()], config).robot.guarded_geoms
    ending = make_env([sway()], EnvConfig(**options | {"fall_ends": True})).robot.guarded_geoms
    np.testing.assert_array_equal(guarded, ending)  # evaluations count falls that end no episode
    assert (len(guarded) > 0) == ("fall_ends" in options)


def posed(quat: list[float], height: float) -> Motion:
    """The sway, turned over and put at another height."""
    clip = sway()
    count = clip.num_frames
    return replace(
        clip, root_pos=np.tile([0.0, 0.0, height], (count, 1)), root_quat=np.tile(np.array(quat), (count, 1))
    )


@pytest.mark.parametrize(
    ("clips", "contacts", "bodies"),
    [
        ([sway()], "feet", ()),
        ([posed([1.0, 0.0, 0.0, 0.0], 0.4)], "legs", ()),  # through its knees: the shins are in the floor
        ([posed([0.0, 1.0, 0.0, 0.0], 0.55)], "full", ("head_link",)),  # upside down: the head
        ([posed([0.7071068, 0.0, 0.7071068, 0.0], 0.1)], "body", ()),  # on its face
        ([sway(), posed([0.7071068, 0.0, 0.7071068, 0.0], 0.1)], "body", ()),
    ],
)
def test_contacts_are_the_smallest_set_that_the_clips_need(clips, contacts, bodies):
    config = with_contacts(EnvConfig(), clips)
    assert config.contacts == contacts
    assert set(bodies) <= set(config.ground_bodies)
    chosen = EnvConfig(contacts="legs", ground_bodies=("pelvis",))
    assert with_contacts(chosen, clips) == chosen


def test_a_task_has_the_settings_given_or_the_defaults(light):
    assert make_env([sway()], robot=light).config == EnvConfig()
    chosen = EnvConfig(control_hz=60.0, episode_seconds=2.0, physics_hz=120.0)
    env = make_env([sway()], chosen, robot=light)
    assert env.config is chosen
    assert (env.control_dt, env.substeps, env.episode_steps) == (1.0 / 60.0, 2, 120)
    assert env.num_actions == 29


def test_clips_are_started_in_equally_unless_weights_say_otherwise(light):
    np.testing.assert_allclose(make_env([sway(), CLAMPED], robot=light).starts.share, [0.5, 0.5])
    weighed = make_env([sway(), CLAMPED], weights=[1.0, 3.0], robot=light)
    np.testing.assert_allclose(weighed.starts.share, [0.25, 0.75])


def test_segments_follow_each_clips_own_kind_of_end(light):
    """After its last segment the cyclic clip begins anew, and the clamped one stays."""
    env = make_env([sway(), CLAMPED], segment_seconds=0.5, robot=light)
    np.testing.assert_array_equal(env.starts.following, [1, 0, 3, 3])


def test_starts_can_be_exchanged_and_nothing_else_changes(light):
    env, starts = make_env([sway()], robot=light), make_starts([1.0], [True], [1.0], 0.25)
    other = replace(env, starts=starts)
    assert other.starts is starts
    assert (other.library, other.robot, other.config) == (env.library, env.robot, env.config)
    state, _ = jax.jit(other.reset)(jax.random.key(0))
    assert 0.0 <= state.start_time <= 1.0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_sizes_of_the_parts_are_those_of_the_observation(light, layout):
    env = make_env([sway()], EnvConfig(observation=layout), robot=light)
    state, seen = jax.eval_shape(env.reset, jax.random.key(0))
    sizes, parts = env.observation_sizes(), {}
    jax.eval_shape(lambda state: parts.update(env.observation_parts(state)), state)
    assert {name: (size,) for name, size in sizes.items()} == {
        name: part.shape for name, part in parts.items()
    }
    assert list(sizes) == list(parts)
    assert seen.shape == (sum(sizes.values()),)


def test_a_trace_has_every_joint_at_every_physics_step(robot):
    env = make_env([sway()], robot=robot)
    state = env.reset_to(jnp.int32(0), jnp.float32(0.0))
    _, trace = jax.eval_shape(env.simulate, state, jnp.zeros(29))
    assert trace.dof_pos.shape == trace.dof_vel.shape == (env.substeps, 29)


def ends_after(env: ImitationEnv, start: float) -> int:
    """Control steps from `start` s until a clip ends."""

    def ends(steps: jax.Array) -> jax.Array:
        state = env.reset_to(jnp.int32(0), jnp.float32(start)).replace(steps=steps)
        return env.causes(state, env.character(state), env.reference(state)).clip_end

    ended = jax.jit(jax.vmap(ends))(jnp.arange(40))
    return int(np.argmax(ended)) if ended.any() else -1


def test_a_clamped_clip_ends_at_its_last_frame_and_a_cyclic_one_never(light):
    """31 frames at 30 Hz: from the first frame the thirtieth control step reaches the last one exactly."""
    clamped, cyclic = make_env([CLAMPED], robot=light), make_env([sway()], robot=light)
    assert ends_after(clamped, 0.0) == 30
    assert ends_after(clamped, 0.01) == 30
    assert ends_after(clamped, 0.5) == 15
    assert ends_after(cyclic, 0.0) == -1
