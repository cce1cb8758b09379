"""What the commands print is theirs alone."""

from __future__ import annotations

import pytest
from tqdm.auto import tqdm
from transformers import modeling_gguf_pytorch_utils as gguf
from transformers.utils import logging

from and_nnsight.cli._output import quiet_transformers


def test_no_bar_of_transformers_is_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of its own kind (weights), nor the plain one under which it reads GGUF files."""
    monkeypatch.setattr(gguf, "tqdm", tqdm)  # as it was imported, before any command ran in this process
    assert "tqdm" in gguf.load_gguf_checkpoint.__code__.co_names
    assert list(gguf.tqdm(range(3))) == [0, 1, 2]
    assert "3/3" in capsys.readouterr().err
    shown = logging.is_progress_bar_enabled()
    try:
        quiet_transformers()
        for bar in (gguf.tqdm, logging.tqdm):
            assert list(bar(range(3))) == [0, 1, 2]
        assert capsys.readouterr().err == ""
    finally:
        (logging.enable_progress_bar if shown else logging.disable_progress_bar)()
