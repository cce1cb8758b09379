"""A dissection whose labels, captions, file names and words try to run scripts, to turn text about, and to fill memory."""

from __future__ import annotations

import csv
from pathlib import Path

import soundfile

from and_nnsight import Dissection, dissect
from and_nnsight.demo import make_sounds, tiny_ast_path
from and_nnsight.explain.records.claim_rows import LabelRow
from and_nnsight.explain.records.description_rows import ConceptRow, SummaryRow
from and_nnsight.explain.records.tables import Table

SITE = "blocks.2.mlp.hook_post"
RUN = "window.hacked = (window.hacked || 0) + 1"
ATTACKS = (
    f"<script>{RUN}</script>",
    f"</script><script>{RUN}</script>",
    f"</style><script>{RUN}</script><style>",
    f"<img src=x onerror='{RUN}'>",
    f'" onmouseover="{RUN}" onfocus="{RUN}" autofocus x="',
    f"' onclick='{RUN}",
    f"javascript:{RUN}",
    "{{ 7 * 191 }} {% raw %} ${7 * 191}",
    "<!-- <script> --> <![CDATA[ ]]> &lt;script&gt; &#60;b&#62;",
    "<iframe srcdoc='<script>parent.hacked=1</script>'></iframe><svg/onload='window.hacked=1'>",
    "<base href='https://example.invalid/'><link rel=stylesheet href='//example.invalid/x.css'>",
    "\u202eturned about\u2066 \u200f\u2067 end",
    "line\u2028separator\u2029and\x00nothing\x1b[2J\x85",
    "half a character \udcff\ud83d",
    "https://somebody:secret-word@example.invalid/?token=secret-word",
    "w" * 1_000_000,
    "</article></main></body></html>" + "<b>" * 1000,
    "combining " + "e\u0301\u0327" * 500,
)


def hostile_dissection(folder: Path) -> Dissection:
    """Its clips' labels, captions and names are attacks, and so are the words for its units."""
    sounds = folder / "sounds"
    sounds.mkdir(parents=True)
    with (sounds / "metadata.csv").open("w", newline="", encoding="utf-8", errors="replace") as table:
        rows = csv.writer(table)
        rows.writerow(["file_name", "label", "caption"])
        for number, (sound, attack) in enumerate(zip(make_sounds(per_class=1), ATTACKS * 2, strict=False)):
            name = f"{number} {attack[:40]}".replace("/", "∕").replace("\x00", "").encode("utf-8", "replace").decode()
            soundfile.write(sounds / f"{name}.wav", sound.waveform, sound.sampling_rate)
            rows.writerow([f"{name}.wav", attack[:100_000].replace("\x00", ""), attack[:100_000].replace("\x00", "")])
    dissection = dissect(
        str(tiny_ast_path()), str(sounds), [SITE], k=4, out=folder / "run", device="cpu", progress=False
    )
    _say(dissection)
    return dissection


def _say(dissection: Dissection) -> None:
    """What a language model might answer."""
    answers = [attack.encode("utf-8", "replace").decode() for attack in ATTACKS]
    with Table(dissection, SummaryRow, {"summarizer": answers[0]}) as table:
        table.add(SummaryRow(SITE, unit, answer, answer, None) for unit, answer in enumerate(answers))
        table.add(SummaryRow(SITE, len(answers) + unit, None, None, answer) for unit, answer in enumerate(answers))
    with Table(dissection, ConceptRow, {}) as table:
        table.add(ConceptRow(SITE, unit, answer, "noun", 1, None) for unit, answer in enumerate(answers))
    with Table(dissection, LabelRow, {}) as table:
        table.add(
            LabelRow(SITE, unit, "db", answer, answer, concept=answer, score=0.5, basis=answer, encoder=answer)
            for unit, answer in enumerate(answers)
        )


def units() -> list[tuple[str, int]]:
    """Those of which attacks are said."""
    return [(SITE, unit) for unit in range(2 * len(ATTACKS))]
