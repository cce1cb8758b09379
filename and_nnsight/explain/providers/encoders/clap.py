"""`clap:REPO`: audio and texts embedded in one space by a CLAP checkpoint, through transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32

from ....plugins import PluginError
from ....wording import first_line
from ..batching import chunks_of
from ..embeddings import directions

_BATCH_SIZE = 16


class Clap:
    """Embeds audio and texts with CLAP: a hub id (laion/clap-htsat-unfused) or a local folder.

    CLAP hears a window of fixed length, ten seconds for most checkpoints. A shorter clip is repeated to fill it, as in
    training; a longer one is cut into windows that cover it evenly, and the mean of their directions stands for it
    (the checkpoint's own way is a random crop, another at every call). Other clips in the batch change nothing.

    device      default: a GPU if there is one
    batch_size  windows or texts at a time

    Raises PluginError if there is no such checkpoint, or it is not a CLAP.
    """

    def __init__(self, model: str, *, device: str | torch.device | None = None, batch_size: int | None = None) -> None:
        from transformers import AutoConfig, AutoFeatureExtractor, AutoTokenizer, ClapModel

        self.name = f"clap:{model}"
        self._batch_size = batch_size or _BATCH_SIZE
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        try:
            kind = AutoConfig.from_pretrained(model, trust_remote_code=False).model_type
            if kind != "clap":
                raise PluginError(f"{model!r} is a {kind} checkpoint: {self.name!r} needs a CLAP")
            loaded: Any = ClapModel.from_pretrained(model)
            self._model: Any = loaded.to(self._device).eval()
            self._extractor: Any = AutoFeatureExtractor.from_pretrained(model, trust_remote_code=False)
            self._tokenizer: Any = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            if isinstance(error, PluginError):
                raise
            raise PluginError(f"audio-text encoder {self.name!r} cannot be loaded: {first_line(error)}") from error
        self.sampling_rate = int(self._extractor.sampling_rate)
        self._window = int(self._extractor.nb_max_samples)

    @torch.inference_mode()
    def encode_audio(self, waveforms: Sequence[Float32[np.ndarray, " _"]]) -> Float32[np.ndarray, "clip dim"]:
        """One vector of length 1 a waveform (mono, at `sampling_rate`). Raises ValueError for one without samples."""
        if not all(len(waveform) for waveform in waveforms):
            raise ValueError("a waveform without samples cannot be embedded")
        windows = [(clip, window) for clip, wave in enumerate(waveforms) for window in self._windows(wave)]
        total = np.zeros((len(waveforms), int(self._model.config.projection_dim)), np.float32)
        for part in chunks_of(windows, self._batch_size):
            features = self._extractor(
                [window for _, window in part], sampling_rate=self.sampling_rate, return_tensors="pt"
            )
            # Where no clip is longer than the window the extractor draws one that is called so, for fusion to work on.
            features["is_longer"] = torch.zeros_like(features["is_longer"])
            features["input_features"] = features["input_features"].to(self._model.dtype)
            vectors = self._model.get_audio_features(**features.to(self._device)).pooler_output
            np.add.at(total, [clip for clip, _ in part], vectors.float().cpu().numpy())
        return directions(total)

    @torch.inference_mode()
    def encode_text(self, texts: Sequence[str]) -> Float32[np.ndarray, "text dim"]:
        """One vector of length 1 a text; what lies beyond the model's window is cut off."""
        text = self._model.config.text_config
        longest = int(text.max_position_embeddings - text.pad_token_id - 1)  # positions count from above padding's id
        vectors = [np.zeros((0, int(self._model.config.projection_dim)), np.float32)]
        for part in chunks_of(texts, self._batch_size):
            tokens = self._tokenizer(part, padding=True, truncation=True, max_length=longest, return_tensors="pt")
            tokens = {name: tokens[name].to(self._device) for name in ("input_ids", "attention_mask")}
            vectors.append(self._model.get_text_features(**tokens).pooler_output.float().cpu().numpy())
        return directions(np.concatenate(vectors))

    def _windows(self, waveform: np.ndarray) -> list[np.ndarray]:
        """The waveform, or as many windows as cover it, at even distances."""
        count = max(1, -(-len(waveform) // self._window))
        starts = np.linspace(0, max(0, len(waveform) - self._window), count).round().astype(int).tolist()
        return [waveform[start : start + self._window] for start in starts]
