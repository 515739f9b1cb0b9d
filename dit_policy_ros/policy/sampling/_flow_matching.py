# SPDX-License-Identifier: Apache-2.0
"""The flow-matching objective: a velocity field from noise at time 0 to actions at time 1.

Shapes: B batch, T horizon, A action entries. Lipman et al. 2022 (arXiv 2210.02747), conditional optimal
transport path; timestep sampling by a Beta distribution as in pi0 (arXiv 2410.24164), in the direction that
LeRobot uses.
"""

import torch
from torch import Tensor, nn

from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.sampling._loss import DEVIATIONS, Deviation, masked_mean
from dit_policy_ros.policy.sampling._sampler import Constrain, Predict


class FlowMatchingObjective(nn.Module):
    """Training loss and ODE sampler of a flow-matching policy."""

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        self.config = config
        self.deviation: Deviation = DEVIATIONS["mse"]  # training may count errors otherwise

    def sample_times(self, batch: int, device: torch.device) -> Tensor:
        """Training times (B,) in [0, 1)."""
        config = self.config
        if config.timestep_sampling_strategy == "uniform":
            return torch.rand(batch, device=device)
        draw = torch.distributions.Beta(config.timestep_sampling_alpha, config.timestep_sampling_beta)
        return config.timestep_sampling_s * (1.0 - draw.sample((batch,)).to(device))

    def loss(self, network: nn.Module, x_1: Tensor, is_pad: Tensor | None, observation: Tensor) -> Tensor:
        """Mean deviation of the velocity; (B, T, A), (B, T) or None, (B, C) -> scalar.

        Draws the noise first and the times second from torch's global generator, as LeRobot does.
        """
        shrink = 1 - self.config.sigma_min
        noise = torch.randn_like(x_1)
        t = self.sample_times(x_1.shape[0], x_1.device)
        weight = t.view(-1, 1, 1)
        x_t = weight * x_1 + (1 - shrink * weight) * noise
        predicted = network(x_t, t, observation)
        counted = is_pad if self.config.do_mask_loss_for_padding else None
        return masked_mean(self.deviation, predicted, x_1 - shrink * noise, counted)

    def sample(
        self, predict: Predict, x: Tensor, first: int = 0, constrain: Constrain | None = None
    ) -> Tensor:
        """Integrate the field to actions (B, T, A) in normalised units.

        Args:
            predict: the velocity field.
            x: (B, T, A) pure noise, or actions ``noised`` to the beginning of step ``first``.
            first: steps to leave out.
            constrain: applied after each step.
        """
        step = rk4_step if self.config.integration_method == "rk4" else euler_step
        grid = self._grid()
        widths = (grid[1:] - grid[:-1]).tolist()
        ends = grid.tolist()
        for i in range(first, len(widths)):
            x = step(predict, x, ends[i], widths[i])
            if constrain is not None:
                x = constrain(x, ends[i + 1])
        return x

    def times(self) -> list[float]:
        """Where each step of ``sample`` begins."""
        return self._grid()[:-1].tolist()

    def noised(self, x_1: Tensor, noise: Tensor, t: float) -> Tensor:
        """Actions as they would look at time ``t`` of their path from ``noise``. All (B, T, A)."""
        return t * x_1 + (1 - (1 - self.config.sigma_min) * t) * noise

    def _grid(self) -> Tensor:
        return torch.linspace(0, 1, self.config.num_integration_steps + 1)


def euler_step(velocity: Predict, x: Tensor, t: float, dt: float) -> Tensor:
    """One explicit Euler step: global error O(dt)."""
    return x + dt * velocity(x, t)


def rk4_step(velocity: Predict, x: Tensor, t: float, dt: float) -> Tensor:
    """One classical Runge-Kutta step: global error O(dt^4)."""
    k1 = velocity(x, t)
    k2 = velocity(x + dt * k1 / 2, t + dt / 2)
    k3 = velocity(x + dt * k2 / 2, t + dt / 2)
    k4 = velocity(x + dt * k3, t + dt)
    return x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
