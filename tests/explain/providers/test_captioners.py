"""The captioners that need no model."""

from __future__ import annotations

import numpy as np
import pytest

from and_nnsight.demo import make_sound
from and_nnsight.explain.acoustics.sentences import SILENCE
from and_nnsight.explain.roles import Clip, Failure, Span
from and_nnsight.plugins import PluginError, make

NOTHING = np.empty(0, np.float32)


def clip(**columns: object) -> Clip:
    return Clip(Span(0), None, columns, NOTHING, 0)


def test_a_column_says_what_the_dataset_says_and_needs_no_audio():
    column = make("captioner", "column:caption")
    assert column.sampling_rate is None
    assert list(column.caption([clip(caption="A dog."), clip(caption=7)])) == ["A dog.", "7"]


@pytest.mark.parametrize("empty", [None, "", "  \n"])
def test_an_empty_value_is_a_failure(empty):
    assert list(make("captioner", "column:text").caption([clip(text=empty)])) == [Failure("column 'text' is empty")]


def test_a_missing_column_is_an_error_that_lists_what_there_is():
    with pytest.raises(PluginError, match=r"no column 'text'; they have 'label', 'caption'"):
        list(make("captioner", "column:text").caption([clip(label="dog", caption="A dog.")]))
    with pytest.raises(PluginError, match="column:caption"):
        make("captioner", "column: ")
    with pytest.raises(PluginError, match="needs more"):
        make("captioner", "column")


def test_the_acoustic_captioner_describes_each_clip_in_order():
    acoustic = make("captioner", "acoustic")
    tone = make_sound("high tone", 0)
    rate = acoustic.sampling_rate
    clips = [Clip(Span(0), None, {}, tone.waveform, rate), Clip(Span(1), None, {}, np.zeros(rate, np.float32), rate)]
    said = list(acoustic.caption(clips))
    assert "high-pitched, pure tone" in said[0]
    assert said[1] == SILENCE
