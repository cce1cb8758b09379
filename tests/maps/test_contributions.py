"""What each part of a sound adds to a unit's answer, held against all of its coalitions."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from and_nnsight import AudioModel
from and_nnsight.audio.frontends import front_end
from and_nnsight.demo import make_sound, tiny_ast_path
from and_nnsight.maps.contributions import answering, contributions
from and_nnsight.maps.mask_search import Moment
from and_nnsight.maps.response import Response
from and_nnsight.maps.spectrum import Grid, Spectrum

SITE = "blocks.2.mlp.hook_post"


@pytest.fixture(scope="module")
def response() -> Response:
    """The unit of the embedded model that a bell raises most above noise."""
    model = AudioModel(str(tiny_ast_path()), dispatch=True)
    (site,) = model.sites(SITE)
    values: list[torch.Tensor] = []
    sounds = [make_sound("bell", 0).waveform, make_sound("low noise", 1).waveform]
    with torch.no_grad():
        model.run([site], model.features(sounds), lambda _, value: values.append(value.amax(1)))
    unit = int((values[0][0] - values[0][1]).argmax())
    return Response(model, site, unit, front_end(model.featuriser.extractor))


@pytest.mark.slow
def test_contributions_are_those_of_all_coalitions(response: Response) -> None:
    sound = make_sound("bell", 0).waveform + 0.3 * make_sound("low noise", 1).waveform
    clip = torch.from_numpy(sound)
    spectrum = Spectrum(clip, 16_000, Grid(parts=5))
    moment = Moment.of(response, clip, int(response(clip[None])[0].argmax()))
    coalitions = torch.tensor(list(product((0.0, 1.0), repeat=5)))
    with torch.no_grad():
        sounds = torch.stack([spectrum.sound(one[:, None].expand(spectrum.cells)) for one in coalitions])
        answers = moment.share(response(sounds))
    exact = torch.stack([answers[coalitions[:, part] == 1].mean() - answers[coalitions[:, part] == 0].mean()
                         for part in range(5)])  # fmt: skip
    measured = contributions(spectrum, response, moment, seed=0)
    assert torch.equal(measured, contributions(spectrum, response, moment, seed=0))
    assert float((measured - exact).norm()) < 0.35 * float(exact.norm())
    assert float(torch.corrcoef(torch.stack([measured, exact]))[0, 1]) > 0.9


def test_a_part_is_kept_as_far_as_its_share_of_the_answer_reaches_that_of_the_energy() -> None:
    energies = torch.tensor([1.0, 1.0, 2.0, 0.0])
    kept = answering(energies, torch.tensor([0.5, -0.3, 0.25, 0.25]))
    shares = np.array([0.5, 0.0, 0.25, 0.25]) / np.array([0.27, 0.27, 0.52, 0.02])
    np.testing.assert_allclose(kept.numpy(), shares.clip(max=1), rtol=1e-5)
    assert answering(energies, -torch.ones(4)).tolist() == [0, 0, 0, 0], "where nothing adds to it, nothing is kept"
