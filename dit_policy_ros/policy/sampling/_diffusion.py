# SPDX-License-Identifier: Apache-2.0
"""The diffusion objective: noise prediction in training, DDPM or DDIM steps in sampling.

Shapes: B batch, T horizon, A action entries. Symbols as in Ho et al. 2020 (arXiv 2006.11239) and Song et
al. 2020 (arXiv 2010.02502): x_0 clean, x_t noisy, alpha_bar the share of signal. The step equations are our
own so that a robot need not import ``diffusers``; a test holds them to it.
"""

import torch
from torch import Tensor, nn

from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.sampling._loss import DEVIATIONS, Deviation, masked_mean
from dit_policy_ros.policy.sampling._noise_schedule import alphas_cumprod, leading_timesteps
from dit_policy_ros.policy.sampling._sampler import Constrain, Predict


class DiffusionObjective(nn.Module):
    """Training loss and sampler of a denoising diffusion policy."""

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        self.config = config
        self.deviation: Deviation = DEVIATIONS["mse"]  # training may count errors otherwise
        # Coefficients stay on the CPU as float32 scalars: that is how diffusers computes them.
        self.alpha_bar = alphas_cumprod(config)  # (num_train_timesteps,)

    def add_noise(self, x_0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Jump to step t: (B, T, A), (B, T, A), (B,) long -> x_t (B, T, A)."""
        alpha_bar = self.alpha_bar.to(x_0.device, x_0.dtype)[t].view(-1, 1, 1)
        return alpha_bar**0.5 * x_0 + (1 - alpha_bar) ** 0.5 * noise

    def loss(self, network: nn.Module, x_0: Tensor, is_pad: Tensor | None, observation: Tensor) -> Tensor:
        """Mean deviation of the prediction at random steps; (B, T, A), (B, T) or None, (B, C) -> scalar.

        Draws the noise first and the steps second from torch's global generator, as LeRobot does.
        """
        noise = torch.randn_like(x_0)
        t = torch.randint(0, self.config.num_train_timesteps, (x_0.shape[0],), device=x_0.device)
        predicted = network(self.add_noise(x_0, noise, t), t, observation)
        target = noise if self.config.prediction_type == "epsilon" else x_0
        counted = is_pad if self.config.do_mask_loss_for_padding else None
        return masked_mean(self.deviation, predicted, target, counted)

    def sample(
        self, predict: Predict, x: Tensor, first: int = 0, constrain: Constrain | None = None
    ) -> Tensor:
        """Denoise to actions (B, T, A) in normalised units.

        Args:
            predict: the network.
            x: (B, T, A) pure noise, or actions ``noised`` to the beginning of step ``first``.
            first: steps to leave out.
            constrain: applied after each step.
        """
        config = self.config
        stride = config.num_train_timesteps // config.sampling_steps
        step = self.ddim_step if config.noise_scheduler_type == "DDIM" else self.ddpm_step
        for t in self.times()[first:]:
            x = step(predict(x, t), x, t, t - stride)
            if constrain is not None:
                x = constrain(x, t - stride)
        return x

    def times(self) -> list[int]:
        """Where each step of ``sample`` begins."""
        return leading_timesteps(self.config.num_train_timesteps, self.config.sampling_steps)

    def noised(self, x_0: Tensor, noise: Tensor, t: float) -> Tensor:
        """Clean actions as they would look at diffusion step ``t``; below 0 they are clean. All (B, T, A)."""
        if t < 0:
            return x_0
        alpha_bar = self.alpha_bar[int(t)]
        return alpha_bar**0.5 * x_0 + (1 - alpha_bar) ** 0.5 * noise

    def ddim_step(self, output: Tensor, x_t: Tensor, t: int, previous: int) -> Tensor:
        """x_t -> x_previous without added noise (DDIM equation 12, eta = 0); ``previous`` < 0 means clean."""
        alpha_bar, alpha_bar_prev = self._alpha_bars(t, previous)
        if self.config.prediction_type == "epsilon":
            x_0, noise = self._clean(output, x_t, alpha_bar), output
        else:
            x_0, noise = output, (x_t - alpha_bar**0.5 * output) / (1 - alpha_bar) ** 0.5
        return alpha_bar_prev**0.5 * self._clip(x_0) + (1 - alpha_bar_prev) ** 0.5 * noise

    def ddpm_step(self, output: Tensor, x_t: Tensor, t: int, previous: int) -> Tensor:
        """x_t -> x_previous drawn from the posterior (DDPM equations 6 and 7); no noise is added at t = 0."""
        alpha_bar, alpha_bar_prev = self._alpha_bars(t, previous)
        beta_bar, beta_bar_prev = 1 - alpha_bar, 1 - alpha_bar_prev
        alpha = alpha_bar / alpha_bar_prev
        beta = 1 - alpha
        x_0 = output if self.config.prediction_type == "sample" else self._clean(output, x_t, alpha_bar)
        weight_clean = alpha_bar_prev**0.5 * beta / beta_bar
        weight_noisy = alpha**0.5 * beta_bar_prev / beta_bar
        mean = weight_clean * self._clip(x_0) + weight_noisy * x_t
        if t == 0:
            return mean
        variance = torch.clamp(beta_bar_prev / beta_bar * beta, min=1e-20)
        return mean + variance**0.5 * torch.randn_like(output)

    def _alpha_bars(self, t: int, previous: int) -> tuple[Tensor, Tensor]:
        return self.alpha_bar[t], self.alpha_bar[previous] if previous >= 0 else torch.ones(())

    def _clean(self, noise: Tensor, x_t: Tensor, alpha_bar: Tensor) -> Tensor:
        return (x_t - (1 - alpha_bar) ** 0.5 * noise) / alpha_bar**0.5

    def _clip(self, x_0: Tensor) -> Tensor:
        if not self.config.clip_sample:
            return x_0
        return x_0.clamp(-self.config.clip_sample_range, self.config.clip_sample_range)
