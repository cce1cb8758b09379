"""What a dictionary is trained as."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.saes.jumprelu_sae import JumpReLUTrainingSAE, JumpReLUTrainingSAEConfig
from sae_lens.saes.sae import TrainingSAE
from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig

from .errors import TrainingError

ARCHITECTURES = ("topk", "batchtopk", "jumprelu")
_LEAST = {"latents": 1, "k": 1, "steps": 1, "frames_a_step": 2, "dead_steps": 1, "seed": 0}


@dataclass(frozen=True)
class TrainingSettings:
    """How a dictionary is trained.

    latents        how many there are
    architecture   topk: the k highest latents of each frame; batchtopk: k a frame on average, saved with one threshold;
                   jumprelu: a threshold a latent, learned towards k a frame
    k              latents that are active in a frame
    steps          of the optimiser
    frames_a_step  frames that each step sees
    learning_rate  of Adam: up within a twentieth of the steps, from four fifths on down to 0
    dead_steps     steps without firing after which a latent counts as dead: the auxiliary loss then works on it
    revival        how much that loss counts
    seed           of the weights to begin with, of the order of frames and of what is held out
    """

    latents: int
    architecture: str = "topk"
    k: int = 32
    steps: int = 1000
    frames_a_step: int = 512
    learning_rate: float = 1e-3
    dead_steps: int = 20
    revival: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises TrainingError for settings that no training can have."""
        if self.architecture not in ARCHITECTURES:
            raise TrainingError(f"unknown architecture {self.architecture!r}: one of {', '.join(ARCHITECTURES)}")
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise TrainingError(f"{_option(name)} must be at least {least}, it is {getattr(self, name)}")
        if self.k > self.latents:
            raise TrainingError(f"k={self.k} of {self.latents} latents cannot be active: take fewer")
        if not self.learning_rate > 0 or self.revival < 0:
            raise TrainingError("learning_rate must be above 0, and revival not below it")

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return asdict(self)

    def begin(self, width: int, device: str) -> TrainingSAE[Any]:
        """SAELens's own dictionary, ready to be trained on frames of this width; weights by torch's own generator."""
        common: dict[str, Any] = {
            "d_in": width,
            "d_sae": self.latents,
            "device": device,
            "normalize_activations": "covariance_whitening",  # which `Centring` says how
        }
        if self.architecture == "topk":
            return TopKTrainingSAE(TopKTrainingSAEConfig(k=self.k, aux_loss_coefficient=self.revival, **common))
        if self.architecture == "batchtopk":
            return BatchTopKTrainingSAE(
                BatchTopKTrainingSAEConfig(k=float(self.k), aux_loss_coefficient=self.revival, **common)
            )
        return JumpReLUTrainingSAE(
            JumpReLUTrainingSAEConfig(
                jumprelu_sparsity_loss_mode="quadratic",
                target_l0=float(self.k),
                l0_warm_up_steps=max(1, self.steps // 10),
                pre_act_loss_coefficient=3e-6 * self.revival,
                **common,
            )
        )


def _option(name: str) -> str:
    return "width" if name == "latents" else name
