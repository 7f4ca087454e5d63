"""Named settings for `train --preset`: tasks and recipes that were tried."""

from dataclasses import replace
from typing import Literal

from mjx_mimic.config import (
    EnvConfig,
    NetworkConfig,
    NormalizerConfig,
    PaperRewardConfig,
    PenaltyConfig,
    PPOConfig,
    RandomizationConfig,
    TrainConfig,
)

# The task of the DeepMimic paper: its reward, phase in the observation, targets without the reference,
# horizon, networks and discount. The update is ours, which needs fewer samples.
PAPER = TrainConfig(
    env=EnvConfig(observation="paper", action="mimickit", reward="paper", episode_seconds=20.0),
    network=NetworkConfig(
        (1024, 512), (1024, 512), "relu", symmetric=False, initial_std=0.1, learn_std=False
    ),
    ppo=PPOConfig(discount=0.95),
)

# The field's ranges for the G1 (BeyondMimic, OpenTrack, MuJoCo Playground).
RANDOMIZATION = RandomizationConfig(
    friction=(0.3, 1.3),
    mass=(0.9, 1.1),
    trunk_com=0.03,
    joint_offset=0.01,
    joint_damping=(0.0, 0.5),
    armature=(1.0, 1.05),
    kp=(0.9, 1.1),
    kd=(0.9, 1.1),
    motor_strength=(0.9, 1.0),
    delay=(0.0, 0.7),
    gravity_tilt=0.02,
    start_position=0.05,
    start_rotation=0.1,
    start_joint=0.1,
    start_velocity=0.3,
)

Preset = Literal["default", "skills", "mimickit", "paper", "paper-released", "robust", "deploy"]

PRESETS: dict[Preset, TrainConfig] = {
    "default": TrainConfig(),
    "skills": TrainConfig(
        motion=("walk", "kick", "squat", "side_step", "turn_in_place"), env=EnvConfig(clips="skills")
    ),
    # MimicKit's G1 recipe (data/envs/deepmimic_g1_env.yaml, data/agents/deepmimic_g1_ppo_agent.yaml).
    # Its physics is another engine's, at the same rate. There every shape collides; here the legs do, because
    # whatever else touches the floor ends the episode.
    "mimickit": TrainConfig(
        motion_share="starts",
        envs_per_accelerator=4096,
        unroll_length=32,
        env=EnvConfig(
            observation="mimickit",
            action="mimickit",
            max_deviation=1.0,
            physics_hz=120.0,
            contacts="legs",
            self_collision=True,
        ),
        network=NetworkConfig(
            (1024, 512),
            (1024, 512),
            "relu",
            symmetric=False,
            initial_std=0.05,
            learn_std=False,
            initialization="torch",
        ),
        normalizer=NormalizerConfig(min_std=1e-4, samples=100_000_000, first="standard"),
        ppo=PPOConfig(
            optimizer="sgd",
            actor_rate=1e-4,
            critic_rate=1e-4,
            target_kl=None,
            max_grad_norm=None,
            discount=0.99,
            actor_epochs=5,
            actor_minibatches=8,
            critic_epochs=2,
            critic_minibatches=16,
            action_bound_weight=10.0,
            bootstrap_clip_end=False,
        ),
    ),
    # Who is kicked is elsewhere afterwards, and need not be back in time. He finds the step that saves him by
    # loud exploration, which must not be learned away too early, and without stepping through his other leg.
    # Walking is learned first (docs/results.md).
    "robust": TrainConfig(
        push=1.5,
        noise=1.0,
        disturbance_ramp=0.4,
        network=NetworkConfig(min_std=0.12, final_std=0.05),
        unroll_length=32,
        env=EnvConfig(
            privileged_critic=True,
            track_root=False,
            max_deviation=1.0,
            self_collision=True,
            penalty=PenaltyConfig(action_change=1.0),
            randomization=RANDOMIZATION,
        ),
    ),
    # Control steps of 20 ms instead of 33; rollout, delay and the default's discount are about as long in
    # seconds.
    "deploy": TrainConfig(
        push=1.5,
        noise=1.0,
        disturbance_ramp=0.4,
        network=NetworkConfig(min_std=0.12, final_std=0.05),
        unroll_length=24,
        env=EnvConfig(
            observation="onboard",
            history=4,
            privileged_critic=True,
            max_deviation=1.0,
            control_hz=50.0,
            physics_hz=100.0,
            self_collision=True,
            penalty=PenaltyConfig(action_change=2.0, torque=0.05, joint_limit=0.5),
            randomization=replace(RANDOMIZATION, delay=(0.0, 1.0)),
        ),
        ppo=PPOConfig(discount=0.982),
    ),
    "paper": PAPER,
    "paper-released": replace(
        PAPER,
        env=replace(
            PAPER.env,
            paper_reward=PaperRewardConfig(
                pose_weight=0.5, velocity_weight=0.05, centre_of_mass_weight=0.1, root_weight=0.2
            ),
        ),
    ),
}
