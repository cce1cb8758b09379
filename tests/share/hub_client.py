"""What a user does with the hub, in a process whose hub is the stand-in; prints what came of it as a line of JSON.

`python -m tests.share.hub_client DISSECTION FOLDER` with HF_ENDPOINT.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from and_nnsight import Dissection
from and_nnsight.cli import main
from and_nnsight.dissection.errors import DissectionError
from and_nnsight.share.pushing import pull

NAME = "me/neurons"


def command(*words: object) -> list[Any]:
    """`and-nnsight WORDS`: its exit code, what it prints, and its error."""
    out, error, code = io.StringIO(), io.StringIO(), 0
    sys.argv = ["and-nnsight", *map(str, words)]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    return [code, out.getvalue(), error.getvalue()]


def refusal(act: Callable[[], object]) -> str:
    try:
        act()
    except DissectionError as error:
        return str(error)
    return "it went well"


def files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def tell_hub(word: str) -> None:
    urllib.request.urlopen(f"{os.environ['HF_ENDPOINT']}/{word}").close()


def loaded(name: str, config: str, **options: Any) -> list[dict[str, Any]]:
    from datasets import Audio, load_dataset

    rows = load_dataset(name, config, split="train", **options)
    if rows.features is not None and "audio" in rows.features:
        assert isinstance(rows.features["audio"], Audio), rows.features
        rows = rows.cast_column("audio", Audio(decode=False))
    return [row for row, _ in zip(rows, range(40), strict=False)]


def without_sound(row: dict[str, Any]) -> dict[str, Any]:
    sound = row.pop("audio", None)
    return row | {"sound": None if sound is None else hashlib.sha256(sound["bytes"]).hexdigest()}


def everything(folder: str, out: Path) -> dict[str, Any]:
    told: dict[str, Any] = {}
    sharing = ("--audio", "--license", "cc-by-4.0", "--best", 6)
    os.environ["HF_TOKEN"] = ""
    told["no token"] = command("push", folder, NAME, *sharing)
    os.environ["HF_TOKEN"] = "hf_reader"
    told["reader"] = command("push", folder, NAME, *sharing)
    os.environ["HF_TOKEN"] = "hf_writer"
    told["licence"] = command("push", folder, "me/other", "--no-audio", "--license", "no-such-licence")
    tell_hub("dies")
    told["died"] = command("push", folder, NAME, *sharing)
    told["while dead"] = refusal(lambda: Dissection.load(f"hf://datasets/{NAME}"))
    tell_hub("lives")
    told["push"] = command("push", folder, NAME, *sharing)
    told["pull"] = command("pull", NAME, out / "pulled")
    told["pulled"] = files(out / "pulled")
    told["again"] = command("pull", NAME, out / "pulled")
    told["hf"] = repr(Dissection.load(f"hf://datasets/{NAME}").unit("blocks.2.hook_mlp_out", 1))
    told["show"] = command("show", f"hf://datasets/{NAME}", "blocks.2.hook_mlp_out", 1)
    told["explain"] = command("explain", f"hf://datasets/{NAME}", "--captioner", "column:label", "--quiet")
    told["keep"] = command("exemplars", f"hf://datasets/{NAME}", "--units", "blocks.2.hook_mlp_out:1")
    told["left"] = sorted(path.name for path in out.iterdir())
    told["cached"] = files(Dissection.load(f"hf://datasets/{NAME}").folder)
    configs = told["push"][1].splitlines()[0].partition(": ")[2]
    told["configs"] = [each.split()[0] for each in configs.split(", ")]
    for streaming in (False, True):
        rows = {config: loaded(NAME, config, streaming=streaming) for config in told["configs"]}
        rows["exemplars"] = [without_sound(row) for row in rows["exemplars"]]
        told[f"rows {streaming}"] = rows
    told["public"] = refusal(lambda: Dissection.load(folder).push_to_hub(NAME, audio=False, private=True))
    Dissection.load(folder).push_to_hub(NAME, audio=False, revision="quiet")
    told["quiet"] = repr(Dissection.load(f"hf://{NAME}@quiet"))
    told["private"] = command("push", folder, "me/hidden", "--no-audio", "--private")
    os.environ["HF_TOKEN"] = ""
    told["hidden"] = refusal(lambda: pull("me/hidden", out / "hidden"))
    told["nowhere"] = refusal(lambda: pull("me/nowhere", out / "nowhere"))
    told["revision"] = refusal(lambda: pull(f"hf://datasets/{NAME}@v9", out / "nowhere"))
    told["not ours"] = refusal(lambda: Dissection.load("hf://datasets/you/texts"))
    os.environ["HF_TOKEN"] = "hf_writer"
    told["something else"] = command("push", folder, "you/texts", "--no-audio")
    told["on a branch"] = command("push", folder, "you/both", "--no-audio", "--revision", "texts")
    told["on a new branch"] = command("push", folder, "you/texts", "--no-audio", "--revision", "new")
    told["beside"] = command("push", folder, "you/other", "--no-audio", "--revision", "ours")
    return told


if __name__ == "__main__":
    print(json.dumps(everything(sys.argv[1], Path(sys.argv[2]))))
