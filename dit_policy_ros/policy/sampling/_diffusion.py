# SPDX-License-Identifier: Apache-2.0
"""The diffusion objective: training loss, and sampling by DDPM or DDIM steps.

Symbols as in Ho et al. 2020 (DDPM, arXiv 2006.11239): x_0 clean actions, x_t noisy actions at step t,
alpha_bar_t the cumulative product of 1 - beta_t, x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps.
DDIM is by Song et al. 2020 (arXiv 2010.02502), who write alpha for the same alpha_bar. The step equations
are implemented here so that the robot does not need ``diffusers``; a test compares the two.

Shapes: B batch, T horizon, A action entries.
"""

import torch
from torch import Tensor, nn

from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.sampling._given import draw_given, with_marks
from dit_policy_ros.policy.sampling._loss import ELEMENTWISE_LOSSES, ElementwiseLoss, masked_mean
from dit_policy_ros.policy.sampling._noise_schedule import alphas_cumprod, leading_timesteps
from dit_policy_ros.policy.sampling._predictor import Constraint, Predictor


class DiffusionObjective(nn.Module):
    """Training loss and sampler of a denoising diffusion policy."""

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        self.config = config
        self.elementwise_loss: ElementwiseLoss = ELEMENTWISE_LOSSES["mse"]  # the trainer may set another
        # Kept on the CPU: coefficients are float32 scalars there, as in diffusers.
        self.alpha_bar = alphas_cumprod(config)  # (num_train_timesteps,)

    def add_noise(self, x_0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Sample q(x_t | x_0), DDPM equation 4: (B, T, A), (B, T, A), (B,) long -> x_t (B, T, A)."""
        alpha_bar = self.alpha_bar.to(x_0.device, x_0.dtype)[t].view(-1, 1, 1)
        return alpha_bar**0.5 * x_0 + (1 - alpha_bar) ** 0.5 * noise

    def loss(
        self,
        network: nn.Module,
        x_0: Tensor,
        is_pad: Tensor | None,
        observation: Tensor,
        has_entry: Tensor | None = None,
    ) -> Tensor:
        """The mean loss of the prediction at random steps; (B, T, A), (B, T) or None, (B, C) -> scalar.

        With ``has_entry``, bool (B, A), the entries that an example's robot does not have are 0, without
        noise, and do not count.

        With ``trained_delay`` a random number of leading rows is given as demonstrated, and does not count.

        Draws the noise first and the steps second from torch's global generator, as LeRobot does.
        """
        noise = torch.randn_like(x_0)
        if has_entry is not None:
            mask = has_entry.unsqueeze(1)  # (B, 1, A)
            x_0, noise = x_0 * mask, noise * mask
        t = torch.randint(0, self.config.num_train_timesteps, (x_0.shape[0],), device=x_0.device)
        x_t, is_given = self.add_noise(x_0, noise, t), None
        if self.config.trained_delay:
            is_given = draw_given(self.config, len(x_0), x_0.device)  # (B, T)
            x_t = with_marks(torch.where(is_given.unsqueeze(-1), x_0, x_t), is_given)
        predicted = network(x_t, t, observation)
        target = noise if self.config.prediction_type == "epsilon" else x_0
        ignored = is_pad if self.config.do_mask_loss_for_padding else None
        if is_given is not None:
            ignored = is_given if ignored is None else ignored | is_given
        return masked_mean(self.elementwise_loss, predicted, target, ignored, has_entry)

    def sample(
        self, predict: Predictor, x: Tensor, first_step: int = 0, constrain: Constraint | None = None
    ) -> Tensor:
        """Denoise to actions (B, T, A) in normalised units.

        Args:
            predict: the network.
            x: (B, T, A) pure noise, or actions with the noise of ``timesteps()[first_step]``.
            first_step: index of the first step to take.
            constrain: applied after each step.
        """
        config = self.config
        stride = config.num_train_timesteps // config.sampling_steps
        step = self.ddim_step if config.noise_scheduler_type == "DDIM" else self.ddpm_step
        for t in self.timesteps()[first_step:]:
            x = step(predict(x, t), x, t, t - stride)
            if constrain is not None:
                x = constrain(x, t - stride)
        return x

    def timesteps(self) -> list[int]:
        """The diffusion step at which each step of ``sample`` starts."""
        return leading_timesteps(self.config.num_train_timesteps, self.config.sampling_steps)

    def add_noise_at(self, x_0: Tensor, noise: Tensor, t: float) -> Tensor:
        """x_t for one step t of the whole batch; for t below 0 the clean actions. All (B, T, A)."""
        if t < 0:
            return x_0
        alpha_bar = self.alpha_bar[int(t)]
        return alpha_bar**0.5 * x_0 + (1 - alpha_bar) ** 0.5 * noise

    def ddim_step(self, output: Tensor, x_t: Tensor, t: int, t_prev: int) -> Tensor:
        """x_t -> x_{t_prev}, deterministic (DDIM equation 12, sigma = 0); ``t_prev`` < 0 is the clean end."""
        alpha_bar, alpha_bar_prev = self._alpha_bars(t, t_prev)
        if self.config.prediction_type == "epsilon":
            x_0, noise = self._x_0_from_noise(output, x_t, alpha_bar), output
        else:
            x_0, noise = output, (x_t - alpha_bar**0.5 * output) / (1 - alpha_bar) ** 0.5
        return alpha_bar_prev**0.5 * self._clip(x_0) + (1 - alpha_bar_prev) ** 0.5 * noise

    def ddpm_step(self, output: Tensor, x_t: Tensor, t: int, t_prev: int) -> Tensor:
        """x_t -> x_{t_prev}, drawn from the posterior (DDPM equations 6 and 7); at t = 0 its mean."""
        alpha_bar, alpha_bar_prev = self._alpha_bars(t, t_prev)
        beta_bar, beta_bar_prev = 1 - alpha_bar, 1 - alpha_bar_prev
        alpha = alpha_bar / alpha_bar_prev
        beta = 1 - alpha
        x_0 = output
        if self.config.prediction_type == "epsilon":
            x_0 = self._x_0_from_noise(output, x_t, alpha_bar)
        weight_clean = alpha_bar_prev**0.5 * beta / beta_bar
        weight_noisy = alpha**0.5 * beta_bar_prev / beta_bar
        mean = weight_clean * self._clip(x_0) + weight_noisy * x_t
        if t == 0:
            return mean
        variance = torch.clamp(beta_bar_prev / beta_bar * beta, min=1e-20)
        return mean + variance**0.5 * torch.randn_like(output)

    def _alpha_bars(self, t: int, t_prev: int) -> tuple[Tensor, Tensor]:
        return self.alpha_bar[t], self.alpha_bar[t_prev] if t_prev >= 0 else torch.ones(())

    def _x_0_from_noise(self, noise: Tensor, x_t: Tensor, alpha_bar: Tensor) -> Tensor:
        return (x_t - (1 - alpha_bar) ** 0.5 * noise) / alpha_bar**0.5

    def _clip(self, x_0: Tensor) -> Tensor:
        if not self.config.clip_sample:
            return x_0
        return x_0.clamp(-self.config.clip_sample_range, self.config.clip_sample_range)
