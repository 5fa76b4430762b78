"""AdamW with the recipe's learning-rate schedule."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from rlsp_cli.recipe.optimisation import Optimisation


class Optimiser:
    """AdamW over `parameters`; `step()` clips the gradient, sets the learning rate, and returns both.

    `total` is the number of steps of the whole stage. A resumed stage goes on through
    `load_state_dict`.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], settings: Optimisation, peak: float, total: int
    ) -> None:
        self.parameters = list(parameters)
        self.settings, self.peak, self.total, self.steps = settings, peak, total, 0
        self.adamw = torch.optim.AdamW(
            self.parameters,
            lr=peak,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
            fused=True,  # one kernel a tensor, on a CPU too
        )

    def step(self) -> tuple[float, float]:
        """Apply the gradients; returns (norm before clipping, learning rate)."""
        rate = self.peak * rate_factor(self.steps, self.total, self.settings)
        for group in self.adamw.param_groups:
            group["lr"] = rate
        norm = nn.utils.clip_grad_norm_(self.parameters, self.settings.grad_clip)
        self.adamw.step()
        self.adamw.zero_grad(set_to_none=True)
        self.steps += 1
        return float(norm), rate

    def state_dict(self) -> dict[str, object]:
        """What `load_state_dict` needs to go on."""
        return {"adamw": self.adamw.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Go on where another optimiser was."""
        own = [(group["betas"], group["weight_decay"]) for group in self.adamw.param_groups]
        self.adamw.load_state_dict(state["adamw"])  # type: ignore[arg-type]
        # The state has the settings of the run that saved it, which this recipe may have changed.
        for group, (betas, decay) in zip(self.adamw.param_groups, own, strict=True):
            group |= {"betas": betas, "weight_decay": decay}
        self.steps = int(state["steps"])  # type: ignore[call-overload]


def rate_factor(step: int, total: int, settings: Optimisation) -> float:
    """Share of the peak learning rate at `step` of `total`: a linear warm-up, then down to `min_lr_ratio`."""
    warmup = math.ceil(total * settings.warmup_ratio)
    if step < warmup:
        return (step + 1) / warmup
    progress = min((step - warmup) / max(total - warmup, 1), 1.0)
    fall = {"constant": 0.0, "linear": progress, "cosine": (1 - math.cos(math.pi * progress)) / 2}[
        settings.schedule
    ]
    return 1 - (1 - settings.min_lr_ratio) * fall
