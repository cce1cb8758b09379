"""A listener before held-out clips: what it is given to hear, and its answers as numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....dissection.dissection import Dissection
from ...providers.answers import match_answers
from ...records.clip_audio import dissection_clips
from ...roles import Clip, Failure, Listener, Question, Span
from .rows import ClipQuestion

_LONGEST_REASON = 1_000


@dataclass(frozen=True)
class Audition:
    """A listener, and the clips that it hears.

    name      of the listener in the record
    held_out  a dissection of the model whose units are explained, with keep_activations=True
    clips     those of it that may judge; of clips with the same samples the first is used
    data      what `held_out` was made of, where its clips are in no file
    """

    listener: Listener
    name: str
    held_out: Dissection
    clips: Sequence[int]
    data: Any = None

    @property
    def distinct_clips(self) -> list[int]:
        """The clips without copies of earlier ones."""
        copies = self.held_out.copies
        return [clip for clip in self.clips if clip not in copies]

    @property
    def threshold(self) -> float | None:
        """From which fit on a clip fits; None: the listener has no such border."""
        return getattr(self.listener, "threshold", None)

    def settings(self) -> dict[str, Any]:
        """Who listens to what, for the record."""
        return {
            "listener": self.name,
            "listener_settings": dict(getattr(self.listener, "settings", {})),
            "threshold": self.threshold,
            "held_out": self.held_out.manifest.dataset.fingerprint,
        }

    def bytes_of(self, clip: int) -> int:
        """What a clip's samples take in memory."""
        return round(4 * self.listener.sampling_rate * (self.held_out.clips[clip].seconds or 0.0))

    def waveforms(self, clips: Iterable[int]) -> dict[int, np.ndarray | Failure]:
        """The samples of clips at the listener's rate."""
        spans = [Span(clip) for clip in sorted(clips)]
        if not spans:
            return {}
        rate = self.listener.sampling_rate
        read = dissection_clips(self.held_out, spans, sampling_rate=rate, data=self.data)
        waveforms: dict[int, np.ndarray | Failure] = {}
        for clip in read:
            if isinstance(clip, Clip):
                waveforms[clip.span.clip] = clip.samples
            else:
                span, failure = clip
                waveforms[span.clip] = Failure(f"clip {span.clip} cannot be read: {failure.reason}")
        return waveforms

    def answers(
        self, clip_questions: Iterable[ClipQuestion], waveforms: Mapping[int, np.ndarray | Failure]
    ) -> dict[ClipQuestion, np.ndarray | Failure]:
        """The fits that the listener gives to each statement with its clips; each is asked once."""
        answers: dict[ClipQuestion, np.ndarray | Failure] = {}
        open_ones: list[ClipQuestion] = []
        questions: list[Question] = []
        alike_together = sorted(dict.fromkeys(clip_questions), key=lambda one: one[0] is None)
        for one in alike_together:
            samples_of_all = [waveforms[clip] for clip in one[1]]
            unread = next((samples for samples in samples_of_all if isinstance(samples, Failure)), None)
            if unread is not None:
                answers[one] = unread
                continue
            open_ones.append(one)
            questions.append(Question(one[0], tuple(wave for wave in samples_of_all if not isinstance(wave, Failure))))
        for place, answer in match_answers(self.listener.fits, questions):
            answers[open_ones[place]] = _fits(answer, len(questions[place].clips))
        return answers


def _fits(answer: Any, clips: int) -> np.ndarray | Failure:
    """An answer as numbers, whatever the listener gave."""
    if isinstance(answer, Failure):
        return Failure(answer.reason[:_LONGEST_REASON])
    try:
        numbers = np.asarray(answer)
    except (TypeError, ValueError, RuntimeError):  # lists of unlike lengths, tensors on another device
        numbers = np.empty(0, object)
    if numbers.dtype.kind not in "biuf":
        return Failure(f"the listener answered with {type(answer).__name__}, not with a number a clip")
    fits = numbers.astype(np.float64)
    if fits.shape != (clips,):
        return Failure(f"the listener answered {clips} clips with numbers of shape {fits.shape}, not one a clip")
    return fits if np.isfinite(fits).all() else Failure("the listener answered with a number that is not finite")
