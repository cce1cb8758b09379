"""Seconds of a decoder's tokens: by attention that is planted, and by timestamps in its text."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from and_nnsight import AudioModel, Dissection, DissectionError, dissect
from and_nnsight.cli._card import print_card
from and_nnsight.data.tokens import Token
from and_nnsight.explain import card
from and_nnsight.model.checkpoint import ModelError
from and_nnsight.model.readers.timestamps import Timestamps
from and_nnsight.share.exemplar_rows import exemplar_table
from and_nnsight.share.neuronpedia.tokens import SiteTokens
from tests.reader_families import whisper_reader

RATE, HOP = 16_000, 0.02
SITE = "blocks.1.mlp.hook_post"
BEGINS = [0, 12, 19, 33, 40]
"""Frames of the encoder at which the tokens of every text are planted; it ends at the last."""
TEXT = "a dog barks"


class Planted(nn.Module):
    """In the place of a projection: what is given for each position, whatever goes in."""

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.register_buffer("rows", rows)

    def forward(self, stream: Tensor) -> Tensor:
        return self.rows[: stream.shape[1]].expand(len(stream), -1, -1)


def planted(heads: Any = ((1, 2),)) -> AudioModel:
    """A Whisper whose head 1.2 looks, while a token is about to be written, at that token's frames alone."""
    module, both = whisper_reader()
    attention: Any = module.get_submodule("model.decoder.layers.1.encoder_attn")
    blocks = np.searchsorted(BEGINS[1:], np.arange(100), side="right")
    sound, text = torch.zeros(100, 4, 8), torch.zeros(64, 4, 8)
    sound[range(100), 2, blocks] = 30.0
    text[range(5), 2, range(5)] = 30.0  # the beginning is one token, behind which the first is written
    attention.k_proj, attention.q_proj = Planted(sound.flatten(1)), Planted(text.flatten(1))
    module.generation_config.alignment_heads = heads and [list(each) for each in heads]
    extractor = both.feature_extractor
    options = {"part": "decoder", "processor": both.tokenizer, "answer": "caption", "answer_tokens": 4}
    return AudioModel(module, feature_extractor=extractor, **options)


def clips(count: int = 5) -> list[dict[str, Any]]:
    noise = np.random.default_rng(0)
    sounds = [0.1 * noise.standard_normal(16_000).astype(np.float32) for _ in range(count)]
    return [{"audio": (sound, RATE), "caption": f"{TEXT} {number}"} for number, sound in enumerate(sounds)]


def run(folder: Path, model: AudioModel | None = None, **options: Any) -> Dissection:
    made = planted() if model is None else model
    return dissect(made, clips(), [SITE], k=3, batch_size=2, out=folder, progress=False, **options)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    return run(tmp_path_factory.mktemp("found"), keep_exemplars=[(SITE, 3)])


def test_tokens_are_said_where_attention_was_planted(found: Dissection) -> None:
    for row in found.clips.values():
        starts = [token.start for token in row.tokens or ()]
        assert starts == pytest.approx([HOP * begin for begin in BEGINS[:4]])
        assert [token.end for token in row.tokens or ()] == pytest.approx([HOP * begin for begin in BEGINS[1:]])
    assert found.manifest.model.get("token_times") == "the attention of heads 1.2"
    assert "when they are said is told by the attention of heads 1.2" in (found.manifest.model.reading or "")


def test_exemplars_have_their_tokens_seconds(found: Dissection) -> None:
    for index in range(8):
        for one in found.unit(SITE, index).top:
            token = (found.clips[one.clip].tokens or [])[one.frame]
            assert (one.token, one.start, one.end) == (token.text, token.start, token.end)
            assert f"at {one.start:.2f} s at the token {one.token!r}" in repr(one)
    curve = found.unit(SITE, 3).top[0].curve()
    np.testing.assert_allclose(curve.start, [HOP * begin for begin in BEGINS[:4]], atol=1e-6)
    np.testing.assert_allclose(curve.stop, [HOP * begin for begin in BEGINS[1:]], atol=1e-6)


def test_tables_cards_and_exports_have_token_and_time(found: Dissection) -> None:
    from rich.console import Console

    best = found.unit(SITE, 3).top[0]
    row = next(row for row in exemplar_table(found) if (row.unit, row.side, row.rank) == (3, "top", 0))
    assert (row.token, row.start, row.end) == (best.token, best.start, best.end)
    unit = next(row for row in found.units() if row.unit == 3)
    assert unit.best_token == next(one for one in found.unit(SITE, 3).top if one.telling).token
    named = SiteTokens(found, SITE).of(best.clip, best.curve())
    assert named is not None and named.tokens == [token.text for token in found.clips[best.clip].tokens or ()]
    console = Console(record=True, width=120)
    print_card(console, found, card(found, SITE, 3))
    text = console.export_text()
    assert repr(best.token) in text and f"{best.start:.2f}–{best.end:.2f}" in text
    html = found.unit(SITE, 3)._repr_html_() or ""
    assert "at the token" in html and f"at {best.start:.2f} s" in html


def test_shards_and_what_goes_on_have_the_same_times(found: Dissection, tmp_path: Path) -> None:
    for part in ("0/2", "1/2"):
        run(tmp_path / "shards", shard=part)
    for name in ("clips.parquet", f"sites/{SITE}.safetensors"):
        assert (found.folder / name).read_bytes() == (tmp_path / "shards" / name).read_bytes()
    with pytest.raises(DissectionError, match=r"token_times is the attention of heads 1\.2 there, None here"):
        run(found.folder, planted(heads=None))


def test_sound_behind_the_clip_is_not_looked_at(tmp_path: Path) -> None:
    short = [{**clip, "audio": (clip["audio"][0][:9_600], RATE)} for clip in clips(2)]  # 0.6 s: 30 frames
    made = dissect(planted(), short, [SITE], k=1, out=tmp_path / "run", progress=False)
    tokens = made.clips[0].tokens or []
    assert [token.start for token in tokens[:3]] == pytest.approx([0.0, 0.24, 0.38])
    assert tokens[3].end is not None and tokens[3].end <= 0.6


def test_where_no_head_is_named_nothing_is_guessed(tmp_path: Path) -> None:
    made = run(tmp_path / "run", planted(heads=None))
    assert all(token.start is None and token.end is None for token in made.clips[0].tokens or ())
    assert made.unit(SITE, 3).top[0].start is None and made.unit(SITE, 3).top[0].token is not None
    assert "the model does not tell when they are said" in (made.manifest.model.reading or "")
    with pytest.raises(ModelError, match=r"names \[1, 9\] as an alignment head, and the decoder has no such head"):
        run(tmp_path / "other", planted(heads=[(1, 9)]))


def test_timestamps_say_where_text_lies() -> None:
    stamps = Timestamps(100)
    text = [Token(each, "") for each in (7, 100, 8, 9, 150, 150, 10, 1_700)]
    placed = stamps.in_time(text, 2.5)
    times = [(token.start, token.end) for token in placed]
    assert times == [(None, None), (0, 0), (0, 1), (0, 1), (1, 1), (1, 1), (1, 2.5), (1, 2.5)]
    assert (stamps.text(150), stamps.text(7), stamps.text(1_601)) == ("<|1.00|>", None, None)


def test_a_text_with_timestamps_is_written_and_read(tmp_path: Path) -> None:
    """Whisper's tokenizer leaves <|notimestamps|> out where timestamps are to be written."""
    module, both = whisper_reader()
    tokens = both.tokenizer
    tokens.add_special_tokens({"extra_special_tokens": ["<|notimestamps|>"]})
    first = tokens.convert_tokens_to_ids("<|notimestamps|>") + 1
    assert first == len(tokens)
    module.resize_token_embeddings(first + 1_501)
    module.proj_out.weight.data[first:] = 0.3 * torch.randn(1_501, 32, generator=torch.Generator().manual_seed(0))
    model = AudioModel(
        module, part="decoder", processor=tokens, answer_tokens=6, feature_extractor=both.feature_extractor
    )
    made = run(tmp_path / "run", model)
    assert made.manifest.model.get("token_times") == "timestamps"
    for row in made.clips.values():
        begin, *rest = row.tokens or []
        assert begin.id >= first and begin.text == f"<|{begin.start:.2f}|>" and begin.start == begin.end
        said = begin.start or 0.0
        for token in rest:
            said = token.start if token.id >= first and token.start is not None else said
            assert token.start == said
    silent = SimpleNamespace(convert_tokens_to_ids=lambda _: 0, unk_token_id=0)
    assert Timestamps.of(silent) is None
