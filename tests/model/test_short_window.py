"""Whisper's window cut short: near the whole one's values, and only while it is open."""

from __future__ import annotations

import pytest
import torch

from and_nnsight import AudioModel
from and_nnsight.model.short_window import positions_of, short_window
from tests.families import FAMILIES
from tests.sounds_for_tests import noise

WHISPERS = [name for name in FAMILIES if name.startswith("whisper")]


@pytest.mark.parametrize("name", WHISPERS)
def test_the_first_positions_alone_are_heard_while_it_is_open(name: str) -> None:
    family = FAMILIES[name]
    model = AudioModel(family.build(), feature_extractor=family.extractor())
    positions = positions_of(model.wrapped)
    assert positions is not None
    features = model.features(noise(0.5))
    cut = {key: value[..., : 2 * (positions // 2)] for key, value in features.items()}
    site = model.sites("blocks.0.hook_resid_post")[0]

    def run(given: dict[str, torch.Tensor]) -> torch.Tensor:
        values: list[torch.Tensor] = []
        model.run([site], given, lambda _, value: values.append(value.clone()))
        return values[0]

    before = {key: value.clone() for key, value in model.wrapped.state_dict().items()}
    whole = run(features)
    with short_window(model.wrapped, positions // 2):
        short = run(cut)
    assert whole.shape[1] == positions
    assert short.shape[1] == positions // 2
    correlation = torch.corrcoef(torch.stack([short.flatten(), whole[:, : positions // 2].flatten()]))[0, 1]
    assert float(correlation) > 0.9
    assert torch.equal(run(features), whole)
    assert all(torch.equal(value, before[key]) for key, value in model.wrapped.state_dict().items())


def test_it_is_as_it_was_after_an_error() -> None:
    module = FAMILIES["whisper"].build()
    positions = positions_of(module)
    assert positions is not None
    with pytest.raises(RuntimeError), short_window(module, 3):
        raise RuntimeError
    assert positions_of(module) == positions


def test_windows_that_cannot_be_cut_so_are_refused() -> None:
    whisper, other = FAMILIES["whisper"].build(), FAMILIES["ast"].build()
    assert positions_of(other) is None
    with pytest.raises(ValueError, match="cannot be cut short"), short_window(other, 3):
        pass
    with pytest.raises(ValueError, match="a window of 99999 positions"), short_window(whisper, 99_999):
        pass
