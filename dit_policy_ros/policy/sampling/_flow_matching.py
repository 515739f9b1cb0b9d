# SPDX-License-Identifier: Apache-2.0
"""The flow-matching objective: a velocity field from noise at time 0 to actions at time 1.

Lipman et al. 2022 (arXiv 2210.02747), conditional optimal transport path. Training times can be drawn from a
Beta distribution as in pi0 (arXiv 2410.24164); times run in LeRobot's direction.

Shapes: B batch, T horizon, A action entries.
"""

import torch
from torch import Tensor, nn

from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.sampling._given import draw_given, with_marks
from dit_policy_ros.policy.sampling._loss import ELEMENTWISE_LOSSES, ElementwiseLoss, masked_mean
from dit_policy_ros.policy.sampling._predictor import Constraint, Predictor


class FlowMatchingObjective(nn.Module):
    """Training loss and ODE sampler of a flow-matching policy."""

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        self.config = config
        self.elementwise_loss: ElementwiseLoss = ELEMENTWISE_LOSSES["mse"]  # the trainer may set another

    def sample_times(self, batch: int, device: torch.device) -> Tensor:
        """Draw training times (B,) in [0, 1)."""
        config = self.config
        if config.timestep_sampling_strategy == "uniform":
            return torch.rand(batch, device=device)
        draw = torch.distributions.Beta(config.timestep_sampling_alpha, config.timestep_sampling_beta)
        return config.timestep_sampling_s * (1.0 - draw.sample((batch,)).to(device))

    def loss(
        self,
        network: nn.Module,
        x_1: Tensor,
        is_pad: Tensor | None,
        observation: Tensor,
        has_entry: Tensor | None = None,
    ) -> Tensor:
        """The mean loss of the velocity at random times; (B, T, A), (B, T) or None, (B, C) -> scalar.

        With ``has_entry``, bool (B, A), the entries that an example's robot does not have are 0, without
        noise, and do not count.

        With ``trained_delay`` a random number of leading rows is given as demonstrated, and does not count.

        Draws the noise first and the times second from torch's global generator, as LeRobot does.
        """
        shrink = 1 - self.config.sigma_min
        noise = torch.randn_like(x_1)
        if has_entry is not None:
            mask = has_entry.unsqueeze(1)  # (B, 1, A)
            x_1, noise = x_1 * mask, noise * mask
        t = self.sample_times(x_1.shape[0], x_1.device)
        weight = t.view(-1, 1, 1)
        x_t = weight * x_1 + (1 - shrink * weight) * noise
        is_given = None
        if self.config.trained_delay:
            is_given = draw_given(self.config, len(x_1), x_1.device)  # (B, T)
            x_t = with_marks(torch.where(is_given.unsqueeze(-1), x_1, x_t), is_given)
        predicted = network(x_t, t, observation)
        ignored = is_pad if self.config.do_mask_loss_for_padding else None
        if is_given is not None:
            ignored = is_given if ignored is None else ignored | is_given
        return masked_mean(self.elementwise_loss, predicted, x_1 - shrink * noise, ignored, has_entry)

    def sample(
        self, predict: Predictor, x: Tensor, first_step: int = 0, constrain: Constraint | None = None
    ) -> Tensor:
        """Integrate the field to actions (B, T, A) in normalised units.

        Args:
            predict: the velocity field.
            x: (B, T, A) pure noise, or actions with the noise of ``timesteps()[first_step]``.
            first_step: index of the first step to take.
            constrain: applied after each step.
        """
        step = rk4_step if self.config.integration_method == "rk4" else euler_step
        grid = self._grid()
        widths = (grid[1:] - grid[:-1]).tolist()
        times = grid.tolist()
        for i in range(first_step, len(widths)):
            x = step(predict, x, times[i], widths[i])
            if constrain is not None:
                x = constrain(x, times[i + 1])
        return x

    def timesteps(self) -> list[float]:
        """The flow time at which each step of ``sample`` starts."""
        return self._grid()[:-1].tolist()

    def add_noise_at(self, x_1: Tensor, noise: Tensor, t: float) -> Tensor:
        """x_t at one time t of the path from ``noise`` to ``x_1``. All (B, T, A)."""
        return t * x_1 + (1 - (1 - self.config.sigma_min) * t) * noise

    def _grid(self) -> Tensor:
        return torch.linspace(0, 1, self.config.num_integration_steps + 1)


def euler_step(velocity: Predictor, x: Tensor, t: float, dt: float) -> Tensor:
    """One explicit Euler step: global error O(dt)."""
    return x + dt * velocity(x, t)


def rk4_step(velocity: Predictor, x: Tensor, t: float, dt: float) -> Tensor:
    """One classical Runge-Kutta step: global error O(dt^4)."""
    k1 = velocity(x, t)
    k2 = velocity(x + dt * k1 / 2, t + dt / 2)
    k3 = velocity(x + dt * k2 / 2, t + dt / 2)
    k4 = velocity(x + dt * k3, t + dt)
    return x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
