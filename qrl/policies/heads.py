"""Policy heads: from the read-out's outputs to a distribution over actions.

A distribution is a dict of tensors (a pytree, so it passes through `vmap`); the functions that use it belong to the
head. Noise is an argument, because no random number is drawn under `vmap`. Outputs and the head's parameters may have
leading task axes.
"""

import math
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from qrl.common.errors import TrainingError
from qrl.policies.task_axes import for_batch

Distribution = dict[str, Tensor]


class Categorical(nn.Module):
    """Softmax of beta * outputs over discrete actions, with an inverse temperature beta > 0, trainable or fixed at 1.

    With observables as features this is the softmax-VQC of Jerbi et al. 2021: beta * sum_i w_ai <O_i>.
    """

    name: ClassVar[str] = "categorical"

    def __init__(self, n_actions: int, trainable: bool = True) -> None:
        super().__init__()
        self.n_outputs = self.n_noise = n_actions
        if trainable:
            self.log_inverse_temperature = nn.Parameter(torch.zeros(()))

    def distribution(self, bound: dict[str, Tensor], outputs: Float[Tensor, "*batch act"]) -> Distribution:
        """Return log-probabilities [..., act] from outputs and the head's parameters."""
        log_scale = bound.get("log_inverse_temperature")
        if log_scale is None:
            return {"log_probs": outputs.log_softmax(-1)}
        scale = log_scale.exp() if log_scale.ndim == 0 else log_scale.exp()[..., None, None]
        return {"log_probs": (scale * outputs).log_softmax(-1)}

    @staticmethod
    def noise(uniform: Tensor) -> Tensor:
        """Transform uniform numbers in [0, 1) to standard Gumbel noise."""
        tiny = torch.finfo(uniform.dtype).tiny
        return -(-uniform.clamp_min(tiny).log()).clamp_min(tiny).log()

    @staticmethod
    def sample(distribution: Distribution, noise: Tensor) -> Tensor:
        """Sample an action index by the Gumbel-max trick; noise [..., act]. Not under `vmap`.

        Raises:
            TrainingError: a log-probability is not a number.
        """
        scores = distribution["log_probs"] + noise
        # The sum is not a number if any score is not; the index of the largest score would look like an action.
        if math.isnan(scores.detach().sum().item()):
            raise TrainingError("the policy's outputs are not finite: its weights diverged")
        return scores.argmax(-1)

    @staticmethod
    def log_prob(distribution: Distribution, action: Tensor) -> Tensor:
        """Return the log-probability of the actions (indices [...])."""
        return distribution["log_probs"].gather(-1, action.unsqueeze(-1)).squeeze(-1)

    @staticmethod
    def entropy(distribution: Distribution) -> Tensor:
        """Return the entropy [nat]."""
        return -(distribution["log_probs"].exp() * distribution["log_probs"]).sum(-1)

    @staticmethod
    def kl(old: Distribution, new: Distribution) -> Tensor:
        """Return KL(old || new) [nat]."""
        return (old["log_probs"].exp() * (old["log_probs"] - new["log_probs"])).sum(-1)

    @staticmethod
    def fisher(distribution: Distribution, tangent: Distribution) -> Distribution:
        """Multiply a tangent by the Fisher information, E[(d log pi)^2] as a quadratic form: p_a on the diagonal."""
        return {"log_probs": distribution["log_probs"].exp() * tangent["log_probs"]}


class Gaussian(nn.Module):
    """Normal distribution with the outputs as mean and a learned, state-independent log standard deviation.

    Actions are in units of half the action range around its centre, so that 1 is the bound in every environment;
    `Policy.to_environment` converts them. The log-probability is summed, never averaged, over action dimensions.
    """

    name: ClassVar[str] = "gaussian"

    def __init__(self, n_dimensions: int, initial_log_std: float) -> None:
        super().__init__()
        self.n_outputs = self.n_noise = n_dimensions
        self.log_std = nn.Parameter(torch.full((n_dimensions,), initial_log_std))

    def distribution(self, bound: dict[str, Tensor], outputs: Float[Tensor, "*batch act"]) -> Distribution:
        """Return mean [..., act] and log standard deviation [..., act]."""
        return {"mean": outputs, "log_std": for_batch(bound["log_std"]).expand_as(outputs)}

    @staticmethod
    def noise(uniform: Tensor) -> Tensor:
        """Transform uniform numbers in [0, 1) to standard normal noise by the inverse distribution function."""
        return torch.special.ndtri(
            uniform.clamp(torch.finfo(uniform.dtype).eps / 4, 1 - torch.finfo(uniform.dtype).eps)
        )

    @staticmethod
    def sample(distribution: Distribution, noise: Tensor) -> Tensor:
        """Sample an action; noise [..., act]."""
        return distribution["mean"] + distribution["log_std"].exp() * noise

    @staticmethod
    def log_prob(distribution: Distribution, action: Tensor) -> Tensor:
        """Return the log-density of the actions [..., act], summed over `act`."""
        z = (action - distribution["mean"]) * (-distribution["log_std"]).exp()
        return (-0.5 * z.square() - distribution["log_std"] - 0.5 * math.log(2 * math.pi)).sum(-1)

    @staticmethod
    def entropy(distribution: Distribution) -> Tensor:
        """Return the differential entropy [nat]."""
        return (distribution["log_std"] + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)

    @staticmethod
    def kl(old: Distribution, new: Distribution) -> Tensor:
        """Return KL(old || new) [nat]."""
        precision = (-2 * new["log_std"]).exp()
        moved = (2 * old["log_std"]).exp() + (old["mean"] - new["mean"]).square()
        return (new["log_std"] - old["log_std"] + 0.5 * precision * moved - 0.5).sum(-1)

    @staticmethod
    def fisher(distribution: Distribution, tangent: Distribution) -> Distribution:
        """Multiply a tangent by the Fisher information: 1 / variance for the mean, 2 for the log standard deviation."""
        precision = (-2 * distribution["log_std"]).exp()
        return {"mean": precision * tangent["mean"], "log_std": 2 * tangent["log_std"]}


class MeasuredAnswer(nn.Module):
    """Distribution of an outcome and of the answer after it.

    A distribution has `log_probs` of the answers [..., answer], given the recorded outcome; `outcome_log_prob` [...] of
    that outcome; and `outcome_probs` [..., outcome] of all outcomes, given the same past.
    """

    name: ClassVar[str] = "measured answer"

    def __init__(self, n_answers: int) -> None:
        super().__init__()
        self.n_outputs = n_answers
        self.n_noise = 2

    @staticmethod
    def log_prob(distribution: Distribution, action: Int[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
        """Return log P(outcome) + log pi(answer | outcome)."""
        return distribution["outcome_log_prob"] + Categorical.log_prob(distribution, action[..., 0])

    @staticmethod
    def entropy(distribution: Distribution) -> Float[Tensor, "*batch"]:
        """Return the entropy of the answer given the outcome [nat]."""
        return Categorical.entropy(distribution)

    @staticmethod
    def kl(old: Distribution, new: Distribution) -> Float[Tensor, "*batch"]:
        """Return KL(old || new) of the outcome, plus that of the answer given the recorded outcome [nat].

        The mean over recorded outcomes is an unbiased estimate of the divergence of the pair.
        """
        p, q = old["outcome_probs"], new["outcome_probs"]
        tiny = torch.finfo(p.dtype).tiny
        outcome = (p * (p.clamp_min(tiny).log() - q.clamp_min(tiny).log())).sum(-1)
        return outcome + Categorical.kl(old, new)

    @staticmethod
    def fisher(distribution: Distribution, tangent: Distribution) -> Distribution:
        """Multiply a tangent by the Fisher information, the second derivative of `kl`: 1 / P for outcomes."""
        p, moved = distribution["outcome_probs"], tangent["outcome_probs"]
        tiny = torch.finfo(p.dtype).tiny
        return {
            "log_probs": Categorical.fisher(distribution, tangent)["log_probs"],
            "outcome_log_prob": torch.zeros_like(tangent["outcome_log_prob"]),
            "outcome_probs": torch.where(p > 0, moved / p.clamp_min(tiny), 0.0),
        }


Head = Categorical | Gaussian | MeasuredAnswer
"""Head of any policy: `n_outputs`, `n_noise`, and `log_prob`, `entropy`, `kl` and `fisher` of its distributions."""
