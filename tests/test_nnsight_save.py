"""Other libraries see objects as they are, after traces too; code in a trace has its `.save()`."""

from __future__ import annotations

import threading
from dataclasses import make_dataclass
from pathlib import Path

import pytest
import torch

from and_nnsight import AudioModel, nnsight_save
from and_nnsight.demo import tiny_ast_path
from and_nnsight.plugins import resolve
from tests.warm_python import WarmPython

SITE = "blocks.0.hook_resid_post"


@pytest.fixture(scope="module")
def model() -> AudioModel:
    return AudioModel(str(tiny_ast_path()), dispatch=True)


def traced(model: AudioModel) -> torch.Tensor:
    with torch.inference_mode(), model.trace(torch.zeros(1, 16_000)):
        value = model.site(SITE).save()
    return value


def test_it_goes_when_something_else_is_used_and_comes_back_with_the_next_trace(model: AudioModel) -> None:
    first = traced(model)
    assert hasattr(object, "save")

    class Chat:
        name = "mine"

        def chat(self, conversations: object, options: object) -> list[str]:
            return []

    resolve("chat model", Chat())
    assert not hasattr(object(), "save") and "save" not in dir(int)
    with pytest.raises(TypeError, match="save"):
        make_dataclass("Settings", [("save", bool)])()  # ... which would take nnsight's function for its default
    assert torch.equal(traced(model), first)


def test_an_import_takes_it_off(model: AudioModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a_strict_library.py").write_text('attributes = dir(type("Strict", (), {}))\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    traced(model)
    import a_strict_library  # pyright: ignore[reportMissingImports]

    assert "save" not in a_strict_library.attributes


def test_an_import_in_a_trace_leaves_it_alone(
    model: AudioModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "imported_in_a_trace.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    with torch.inference_mode(), model.trace(torch.zeros(1, 16_000)):
        import imported_in_a_trace  # noqa: F401  # pyright: ignore[reportMissingImports]

        value = model.site(SITE).save()
    assert value.shape[0] == 1


def test_what_another_thread_traces_keeps_it(model: AudioModel) -> None:
    inside, over = threading.Event(), threading.Event()
    saved: list[bool] = []

    def hold(value: torch.Tensor) -> torch.Tensor:
        inside.set()
        saved.append(over.wait(60))
        return value

    def run() -> None:
        with torch.inference_mode(), model.trace(torch.zeros(1, 16_000)):
            value = hold(model.site(SITE)).save()
        saved.append(value is not None)

    thread = threading.Thread(target=run)
    thread.start()
    assert inside.wait(60)
    nnsight_save.take_off()
    assert hasattr(object, "save")
    over.set()
    thread.join()
    assert saved == [True, True]
    nnsight_save.take_off()
    assert not hasattr(object, "save")


@pytest.mark.slow
def test_a_library_that_builds_its_classes_at_the_first_call_works_after_a_trace(
    warm_python: WarmPython, tmp_path: Path
) -> None:
    """anyio, as every client of a chat server uses it: the classes of its backend are made when a loop first runs."""
    pytest.importorskip("anyio")
    script = tmp_path / "script.py"
    script.write_text(f"""
import torch
from and_nnsight import AudioModel
from and_nnsight.demo import tiny_ast_path
model = AudioModel(str(tiny_ast_path()), dispatch=True)
with model.trace(torch.zeros(1, 16_000)):
    value = model.site({SITE!r}).save()
import anyio, sys
assert "anyio._backends._asyncio" not in sys.modules
async def answer():
    return await anyio.to_thread.run_sync(lambda: "answered")
print(anyio.run(answer))
""")
    assert warm_python.run(script, cwd=tmp_path).stdout.strip() == "answered"
