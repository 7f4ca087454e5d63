"""Settings of a training that would do nothing, of which it warns, or contradict each other."""

from dataclasses import replace

import pytest
from helpers.refusals import refusal

from mjx_mimic.config import (
    EnvConfig,
    HeadingConfig,
    MimicKitRewardConfig,
    NetworkConfig,
    NoiseConfig,
    PaperRewardConfig,
    PPOConfig,
    TrainConfig,
)
from mjx_mimic.config_checks import check_effects, sized, without_effect
from mjx_mimic.presets import PRESETS
from mjx_mimic.task.observation import LAYOUTS

STEEP, TILTED = MimicKitRewardConfig(pose_scale=1.0), NoiseConfig(tilt=0.1)
VAGUE = NoiseConfig(velocity=0.5)
FIXED = {"network": NetworkConfig(learn_std=False), "ppo": PPOConfig(entropy_weight=0.01)}
HEAVY = PaperRewardConfig(root_weight=0.2)


@pytest.mark.parametrize(
    ("env", "others", "option", "needed"),
    [
        ({"heading": HeadingConfig(turn=2.0)}, {}, "env.heading.turn", "--env.goal heading"),
        ({"heading": HeadingConfig(turn=2.0), "goal": "strike"}, {}, "env.heading.turn", "heading"),
        ({"goal_weight": 0.5}, {}, "env.goal-weight", "--env.goal"),
        ({"imitation_weight": 0.5}, {}, "env.imitation-weight", "--env.goal"),
        ({"mimickit_reward": STEEP, "reward": "paper"}, {}, "env.mimickit-reward.pose-scale", "mimickit"),
        ({"joint_weights": (1.0,) * 29, "reward": "paper"}, {}, "env.joint-weights", "mimickit"),
        ({"paper_reward": HEAVY}, {}, "env.paper-reward.root-weight", "--env.reward paper"),
        ({"noise": TILTED}, {}, "env.noise.tilt", "--noise"),
        ({"noise": VAGUE, "observation": "onboard"}, {"noise": 1.0}, "env.noise.velocity", "observation"),
        ({"key_bodies": ("pelvis",), "reward": "paper"}, {}, "env.key-bodies", "--env.reward mimickit"),
        ({}, FIXED, "ppo.entropy-weight", "--network.learn-std"),
        ({"action": "mimickit", "action_scale": 0.5}, {}, "env.action-scale", "--env.action reference"),
        ({}, {"ppo": PPOConfig(target_kl=None, final_kl=0.02)}, "ppo.final-kl", "--ppo.target-kl"),
        ({}, {"ppo": PPOConfig(target_kl=None, max_rate=0.1)}, "ppo.max-rate", "--ppo.target-kl"),
        ({"phase_frequencies": 2, "phase": False}, {}, "env.phase-frequencies", "--env.phase"),
        ({"phase_frequencies": 2, "observation": "mimickit"}, {}, "env.phase-frequencies", "--env.phase"),
    ],
)
def test_a_setting_that_does_nothing_is_named_with_what_it_needs(capsys, env, others, option, needed):
    check_effects(TrainConfig(env=EnvConfig(**env), **others))
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"warning: option --{option}: has no effect in training without ")
    assert line.endswith(needed)


@pytest.mark.parametrize(
    "config",
    [
        *PRESETS.values(),
        TrainConfig(env=EnvConfig(goal="heading", goal_weight=0.5, heading=HeadingConfig(turn=2.0))),
        TrainConfig(env=EnvConfig(mimickit_reward=STEEP)),
        TrainConfig(env=EnvConfig(reward="paper", paper_reward=HEAVY)),
        TrainConfig(noise=0.5, env=EnvConfig(noise=TILTED)),
        TrainConfig(env=EnvConfig(action_scale=0.5, phase_frequencies=2)),
        TrainConfig(ppo=PPOConfig(final_kl=0.02)),
    ],
)
def test_what_has_an_effect_is_not_warned_of(config):
    assert list(without_effect(config)) == []


def test_the_phase_counts_where_it_is_observed():
    for observation, layout in LAYOUTS.items():
        for phase in (None, True, False):
            env = EnvConfig(observation=observation, phase=phase, phase_frequencies=2)
            is_seen = layout.phase if phase is None else phase
            assert (list(without_effect(replace(TrainConfig(), env=env))) == []) is is_seen


def test_a_divergence_that_is_measured_before_the_only_step_cannot_steer():
    one_step = PPOConfig(actor_epochs=1, actor_minibatches=1)
    message = refusal(check_effects, TrainConfig(ppo=one_step))
    assert message.startswith("option --ppo.target-kl: 0.06 will not do; use None, or more than one step")
    check_effects(TrainConfig(ppo=replace(one_step, target_kl=None)))
    check_effects(TrainConfig(ppo=replace(one_step, actor_epochs=2)))


@pytest.mark.parametrize(
    ("ppo", "option"),
    [
        (PPOConfig(actor_rate=2e-3), "--ppo.actor-rate: 0.002"),
        (PPOConfig(min_rate=0.0), "--ppo.min-rate: 0.0"),
    ],
)
def test_rates_that_would_be_replaced_or_never_rise_are_refused_of_new_trainings_alone(ppo, option):
    assert refusal(check_effects, TrainConfig(ppo=ppo)).startswith(f"option {option} will not do; use one ")
    check_effects(TrainConfig(ppo=replace(ppo, target_kl=None)))
    sized(TrainConfig(ppo=ppo), "cpu", 2)  # which resumed ones are, too
