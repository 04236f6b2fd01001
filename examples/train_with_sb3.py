"""Stable-Baselines3 learns to bargain: masked PPO in one seat, a scripted agent in the other.

    pip install 'moot[hybrid]' stable-baselines3 sb3-contrib
    python examples/train_with_sb3.py [STEPS]

`Seat` turns a world, as the PettingZoo environment `Table`, into what Stable-Baselines3 trains on: a
Gymnasium environment of one agent, with the mask of its legal actions. Whoever sits in the other seats
is asked there and then, here `scripted:boulware`. Everybody's scenario is drawn anew in every episode, so
the policy has to read what things are worth to it. One to two minutes on one core.
"""

import sys
from typing import Any

import gymnasium as gym
import numpy as np
from sb3_contrib import MaskablePPO
from stable_baselines3.common.vec_env import DummyVecEnv

from moot.agents.scripted.players import Scripted
from moot.environments.pettingzoo_env import Table

SCENARIO = "deal_or_no_deal"
PARTNER = "boulware"


class Seat(gym.Env[dict[str, np.ndarray], np.int64]):
    """One seat of a scenario; the partner answers for all the others."""

    def __init__(self, seat: str = "agent_0") -> None:
        self.env, self.seat, self.partner = Table(SCENARIO), seat, Scripted(PARTNER)
        self.observation_space = self.env.observation_space(seat)
        self.action_space = self.env.action_space(seat)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.env.reset(seed=seed)
        self._others()
        return self._view(), {}

    def step(self, action: Any) -> Any:
        self.env.step(action)
        self._others()
        env, me = self.env, self.seat
        return self._view(), env.rewards[me], env.terminations[me], env.truncations[me], {}

    def _others(self) -> None:
        """Let the others speak until it is this seat's turn, or over."""
        table = self.env.table
        while table.ended is None and self.env.agent_selection != self.seat:
            self.env.step(self.partner.reply(table.observe()))

    def _view(self) -> dict[str, np.ndarray]:
        view = self.env.observe(self.seat)
        self.mask = view["action_mask"].astype(bool)
        return view

    def action_masks(self) -> np.ndarray:
        """What MaskablePPO asks for before every action."""
        return self.mask


def earned(choose: Any, episodes: int = 300, seed: int = 10**6) -> float:
    """Mean score of a seat that chooses by `choose(view, mask)`, in episodes it was not trained on."""
    seat, total = Seat(), 0.0
    for number in range(episodes):
        view, _ = seat.reset(seed=seed if number == 0 else None)
        over = False
        while not over:
            view, reward, ended, cut, _ = seat.step(choose(view, seat.mask))
            total, over = total + reward, ended or cut
    return total / episodes


def main(steps: int = 20_480) -> None:
    rng = np.random.default_rng(0)
    random = earned(lambda _, mask: rng.choice(np.flatnonzero(mask)))
    print(f"random legal replies: {random:.2f}")
    model = MaskablePPO(
        "MultiInputPolicy",
        DummyVecEnv([Seat for _ in range(8)]),
        n_steps=256,
        batch_size=256,
        gamma=1.0,
        ent_coef=0.01,
        learning_rate=1e-3,
        seed=0,
        device="cpu",
    )
    model.learn(steps)
    learned = earned(
        lambda view, mask: model.predict(view, action_masks=mask, deterministic=True)[0]
    )
    print(f"after {model.num_timesteps} replies: {learned:.2f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
