"""The feature extractor that a checkpoint has, or, of a bare module, the one that its config calls for."""

from __future__ import annotations

import warnings
from typing import Any

from torch import nn

from ..sites.audio_spec import declared_spec
from ..sites.frame_geometry import audio_config
from .checkpoint import reaching


def load_extractor(source: str, revision: str | None = None, **reach: Any) -> Any:
    """The feature extractor of a checkpoint. Raises ValueError, with what to do, if it has none.

    `reach` holds what `checkpoint.reaching` gives; no code of the checkpoint's own is run without it.
    """
    import transformers

    # transformers' successor of AutoFeatureExtractor, which is to go.
    automatic: Any = getattr(transformers, "AutoAudioProcessor", None) or transformers.AutoFeatureExtractor
    try:
        return automatic.from_pretrained(source, revision=revision, **{**reaching({}), **reach})
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{source} has no feature extractor (preprocessor_config.json): pass feature_extractor=, a transformers "
            f"feature extractor or the checkpoint it is to be taken from ({str(error).splitlines()[0]})"
        ) from error


def default_extractor(model: nn.Module) -> Any:
    """The feature extractor that a bare module names, or that its config calls for, with its defaults and a warning.

    Raises ValueError for a config of another kind.
    """
    declared = declared_spec(model)
    if declared is not None:
        return declared.extractor
    import transformers

    config = audio_config(model)
    options: dict[str, Any] = {}
    if hasattr(config, "conv_kernel"):
        kind = transformers.Wav2Vec2FeatureExtractor
    elif hasattr(config, "time_stride"):
        kind = transformers.ASTFeatureExtractor
        options = {"num_mel_bins": config.num_mel_bins, "max_length": config.max_length}
    elif hasattr(config, "spec_size"):
        kind = transformers.ClapFeatureExtractor
        options = {"feature_size": config.num_mel_bins, "truncation": "rand_trunc"}
    elif hasattr(config, "feature_projection_input_dim"):
        bins = config.feature_projection_input_dim // 2
        kind, options = transformers.SeamlessM4TFeatureExtractor, {"num_mel_bins": bins, "feature_size": bins}
    elif hasattr(config, "max_source_positions") and config.max_source_positions % 50 == 0:
        # Two spectrogram frames of 10 ms a position.
        kind = transformers.WhisperFeatureExtractor
        options = {"feature_size": config.num_mel_bins, "chunk_length": config.max_source_positions // 50}
    else:
        raise ValueError(
            f"no feature extractor is known for {type(model).__name__}, whose config does not say how it hears: if it "
            "is a model of sound, pass feature_extractor=, or ready features"
        )
    warnings.warn(
        f"no feature extractor was found for this {type(model).__name__}: taking transformers' {kind.__name__} "
        f"with {options or 'its defaults'}; pass feature_extractor= to be sure of it",
        UserWarning,
        stacklevel=4,
    )
    return kind(**options)
