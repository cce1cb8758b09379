"""Every architecture of the installed transformers that takes or makes sound, as a small random model of it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import nn
from transformers import CONFIG_MAPPING
from transformers.models.auto import configuration_auto, feature_extraction_auto, modeling_auto

from and_nnsight import AudioModel

from .shrinking import small
from .small_options import CLASSES, EXTRACTOR_OPTIONS, EXTRACTORS, OPTIONS, STAND_INS

CONFIG_MAPPING_NAMES: dict[str, str] = dict(vars(configuration_auto)["CONFIG_MAPPING_NAMES"])
FEATURE_EXTRACTOR_MAPPING_NAMES: dict[str, str] = dict(vars(feature_extraction_auto)["FEATURE_EXTRACTOR_MAPPING_NAMES"])
_MAPPINGS = (
    "MODEL_FOR_AUDIO_CLASSIFICATION", "MODEL_FOR_CTC", "MODEL_FOR_SPEECH_SEQ_2_SEQ", "MODEL_FOR_AUDIO_XVECTOR",
    "MODEL_FOR_AUDIO_FRAME_CLASSIFICATION", "MODEL_FOR_AUDIO_TOKENIZATION", "MODEL_FOR_TEXT_TO_SPECTROGRAM",
    "MODEL_FOR_TEXT_TO_WAVEFORM",
)  # fmt: skip
_OF_SOUND = ("audio", "speech", "acoustic", "semantic_model", "dac")
_MORE = (
    "MODEL_FOR_MULTIMODAL_LM", "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM", "MODEL_FOR_RNNT", "MODEL_FOR_TDT", "MODEL",
)  # fmt: skip
_FURTHER = (
    "encodec", "dac", "mimi", "clap_audio_model", "parakeet_rnnt", "parakeet_tdt", "nemotron3_5_asr", "univnet",
    "nemotron_asr_streaming", "gemma3n_audio", "dots3_note_audio_encoder", "vibevoice_acoustic_tokenizer", "wavtokenizer",
)  # fmt: skip


@dataclass(frozen=True)
class Architecture:
    """A model type of transformers, and the class of its that is tried."""

    model_type: str
    class_name: str

    def build(self) -> nn.Module:
        """A small random model. Raises what transformers raises where it cannot be had here."""
        kind: Any = _class(self.class_name)
        config = small(kind.config_class, **OPTIONS.get(self.model_type, {}))
        for name, options in STAND_INS.get(self.model_type, {}).items():
            part = CONFIG_MAPPING[options["model_type"]]
            vars(config)[name] = small(part, **options)  # past the config's own check of its class
        torch.manual_seed(0)
        module = kind(config).eval()
        for parameter in module.parameters():
            if parameter.ndim == 1:  # fresh biases and norms are zeros and ones
                parameter.data += 0.1 * torch.randn_like(parameter)
        return module

    def extractor(self) -> Any:
        """The feature extractor that transformers names for it. Raises KeyError if it names none."""
        name = EXTRACTORS.get(self.model_type) or FEATURE_EXTRACTOR_MAPPING_NAMES[self.model_type]
        kind: Any = _class(name)
        return kind(**EXTRACTOR_OPTIONS.get(self.model_type, {}))

    def open(self) -> AudioModel:
        """It, opened with its feature extractor."""
        return AudioModel(self.build(), feature_extractor=self.extractor())


def architecture(model_type: str) -> Architecture:
    """One of them. Raises StopIteration if there is none of that name."""
    return next(each for each in architectures() if each.model_type == model_type)


def architectures() -> tuple[Architecture, ...]:
    """All of them, by name."""
    chosen: dict[str, str] = {}
    for mapping in _MAPPINGS:
        for model_type, name in _names(mapping).items():
            chosen.setdefault(model_type, _one(name))
    for model_type in CONFIG_MAPPING_NAMES:
        if model_type not in chosen and (model_type in _FURTHER or _has_a_part_of_sound(model_type)):
            name = _any_class(model_type)
            chosen |= {} if name is None else {model_type: name}
    chosen |= CLASSES
    return tuple(Architecture(model_type, chosen[model_type]) for model_type in sorted(chosen))


def _one(name: Any) -> str:
    return name if isinstance(name, str) else name[0]


def _names(mapping: str) -> dict[str, Any]:
    return dict(getattr(modeling_auto, f"{mapping}_MAPPING_NAMES", {}))


def _has_a_part_of_sound(model_type: str) -> bool:
    kind: Any = _class(CONFIG_MAPPING_NAMES[model_type])
    return any(word in name for name in getattr(kind, "sub_configs", {}) for word in _OF_SOUND)


def _any_class(model_type: str) -> str | None:
    found = (names[model_type] for names in map(_names, _MORE) if model_type in names)
    return next(map(_one, found), None)


def _class(name: str) -> Any:
    if hasattr(transformers, name):
        return getattr(transformers, name)
    raise ImportError(f"transformers has no {name}")


def module_of(model_type: str) -> Any:
    """The module of transformers in which a model type is written."""
    return importlib.import_module(f"transformers.models.{model_type}")
