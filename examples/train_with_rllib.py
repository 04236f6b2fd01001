"""RLlib learns to bargain with itself: one masked policy by PPO in every seat.

    pip install 'moot[hybrid]' 'ray[rllib]'
    python examples/train_with_rllib.py [ROUNDS]

RLlib takes the PettingZoo environment `Table` as it is; only what its masking module calls the parts of
a view has to be renamed. One policy learns in all seats, each paid by its own score, so a higher mean
means that more of what there is to share is found. Some minutes on one core; 2048 replies a round.
"""

import sys
from typing import Any

import gymnasium as gym
import ray
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.wrappers.pettingzoo_env import PettingZooEnv
from ray.rllib.examples.rl_modules.classes.action_masking_rlm import ActionMaskingTorchRLModule
from ray.tune.registry import register_env

from moot.environments.pettingzoo_env import Table

SCENARIO = "deal_or_no_deal"


class Masked(PettingZooEnv):
    """A world whose views have the names that RLlib's masking module wants."""

    def __init__(self, _: Any = None) -> None:
        super().__init__(Table(SCENARIO))
        self.observation_spaces = {a: _renamed(s) for a, s in self.observation_spaces.items()}
        self.observation_space = gym.spaces.Dict(self.observation_spaces)

    def reset(self, **given: Any) -> Any:
        views, infos = super().reset(**given)
        return {a: _renamed(v) for a, v in views.items()}, infos

    def step(self, action: Any) -> Any:
        views, *rest = super().step(action)
        return {a: _renamed(v) for a, v in views.items()}, *rest


def _renamed(view: Any) -> Any:
    parts = {"observations": view["observation"], "action_mask": view["action_mask"]}
    return gym.spaces.Dict(parts) if isinstance(view, gym.spaces.Dict) else parts


def main(rounds: int = 20) -> None:
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    register_env("moot", Masked)
    module = RLModuleSpec(
        module_class=ActionMaskingTorchRLModule,
        model_config={"fcnet_hiddens": [64, 64], "fcnet_activation": "tanh"},
    )
    config = (
        PPOConfig()
        .environment("moot")
        .env_runners(num_env_runners=0)
        .multi_agent(policies={"shared"}, policy_mapping_fn=lambda *_, **__: "shared")
        .rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs={"shared": module}))
        .training(gamma=1.0, lr=1e-3, train_batch_size_per_learner=2048, num_epochs=6)
        .debugging(seed=0)
    )
    algorithm = config.build_algo()
    for round in range(rounds):
        played = algorithm.train()["env_runners"]
        print(f"round {round}: both together earn {played['episode_return_mean']:.2f}", flush=True)
    algorithm.stop()
    ray.shutdown()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
