"""Build the gallery: real neurons of a model on one page, to see and hear, named and tested.

    python docs/gallery/build.py --model MODEL --sounds SOUNDS --held-out OTHERS [--best 60] [--out gallery.html]

The most selective units whose shown clips all won their places by value are explained by the captions of their clips,
labelled, and tested on clips that had no part in that; then `write_report` makes the page. MODEL is a hub id or a
folder; SOUNDS and OTHERS are folders of audio with a metadata.csv (file_name, label, caption). What is dissected stays
in --work, where the next call finds it. Beside this file `sources.csv` says whose sounds those of a label are,
`readings.csv` what a reader thought of a unit's words, and `note.txt` what else is to be said of this model's page.

Needs the extra `look`; --picture, which photographs one card, needs playwright and a Chromium as well.
"""

from __future__ import annotations

import argparse
import csv
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from and_nnsight import Dissection, dissect
from and_nnsight.explain import explain, label, score
from and_nnsight.look import Report, write_report
from and_nnsight.look.unit_view import MOST_TOP

HERE = Path(__file__).parent
K = 16
CANDIDATES = 20  # times as many units as are shown, of which some have too little evidence
NOTE = """The neurons here are the most selective ones of all whose {shown} shown clips won their places by value; \
neurons of the same clips take turns. Their words are counted from the captions of the clips that they fire for: no \
language model was asked. Words and labels were then tested on {held_out} other clips, which had no part in finding \
them, and each says what came of that. Words that fail are shown as well.

Sounds were cut, and resampled for the model; whose they are stands at each clip, and at the end of the page."""
At = tuple[str, int]


def main() -> None:
    """Dissect where that was not done yet, choose, explain, test, write."""
    options = argparse.ArgumentParser(description="Build the gallery of real neurons.")
    options.add_argument("--model", required=True, help="hub id or folder")
    options.add_argument("--sounds", required=True, help="folder of audio with labels and captions")
    options.add_argument("--held-out", required=True, help="another one, to test the words on")
    options.add_argument("--work", type=Path, default=Path("runs/gallery"), help="where dissections are kept")
    options.add_argument("--out", type=Path, default=Path("gallery.html"))
    options.add_argument("--best", type=int, default=60, help="so many neurons")
    options.add_argument("--sites", nargs="*", default=["default"])
    options.add_argument("--sources", type=Path, default=HERE / "sources.csv")
    options.add_argument("--readings", type=Path, default=HERE / "readings.csv")
    options.add_argument("--note", type=Path, default=HERE / "note.txt", help="more to say at the top of the page")
    options.add_argument("--picture", type=Path, help="a PNG of one card")
    options.add_argument("--pictured", metavar="SITE:UNIT", help="which; default: the first")
    given = options.parse_args()

    dissection, held_out = (
        dissect(
            given.model, sounds, given.sites, k=K, out=given.work / name, keep_activations=True,
            label_column="label", caption_column="caption",
        )
        for sounds, name in ((given.sounds, "dissection"), (given.held_out, "held-out"))
    )  # fmt: skip
    units = chosen_units(dissection, given.best)
    describe(dissection, held_out, units)
    words = {(row.site, row.unit): row.explanation for row in dissection.units() if (row.site, row.unit) in set(units)}
    readings = readings_of(given.readings, words)
    note = NOTE.format(shown=MOST_TOP, held_out=len(held_out.clips))
    page = write_report(
        dissection, given.out, units, model=given.model, data=given.sounds,
        note="\n\n".join(part for part in (note, given.note.read_text(encoding="utf-8"), summary(readings)) if part),
        notes={(each.site, each.unit): f"Read beside its clips: {each.reading}. {each.why}" for each in readings},
        credits=credits_of(dissection, given.sources),
    )  # fmt: skip
    tell(dissection, page, words)
    if given.picture:
        site, _, unit = (given.pictured or ":".join(map(str, units[0]))).rpartition(":")
        photograph(page.path, f"{site}:{unit}", given.picture)


def chosen_units(dissection: Dissection, most: int) -> list[At]:
    """The most selective units of which at least as many clips are evidence as the page shows."""
    rows = dissection.best(most * CANDIDATES)
    return [(row.site, row.unit) for row in rows if row.evidence >= MOST_TOP][:most]


def describe(dissection: Dissection, held_out: Dissection, units: Sequence[At]) -> None:
    """Words and labels of the units, and whether they hold on the other clips."""
    explain(held_out, steps=["captions"], every_clip=True)
    of_sites: dict[str, list[int]] = {}
    for site, unit in units:
        of_sites.setdefault(site, []).append(unit)
    for site, indices in of_sites.items():
        explain(dissection, sites=site, units=indices)
    label(dissection, "labels", method="db")
    for site, indices in of_sites.items():
        score(dissection, held_out, sites=site, units=indices)


def credits_of(dissection: Dissection, sources: Path) -> dict[int, str]:
    """Whose sound each clip is, by its label; `*`: of all other labels."""
    with sources.open(encoding="utf-8", newline="") as table:
        by_label = {row["label"]: row["credit"] for row in csv.DictReader(table)}
    return {clip: by_label.get(str(row.label), by_label["*"]) for clip, row in dissection.clips.items()}


@dataclass(frozen=True)
class Reading:
    """What somebody who read a unit's words beside its clips says: right, partly right or wrong, and why."""

    site: str
    unit: int
    words: str
    reading: str
    why: str


def readings_of(path: Path, words: Mapping[At, str | None]) -> list[Reading]:
    """Those of units whose words are still the ones that were read; none where there is no such file."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as table:
        readings = [Reading(**{**row, "unit": int(row["unit"])}) for row in csv.DictReader(table)]
    return [each for each in readings if words.get((each.site, each.unit)) == each.words]


def summary(readings: Sequence[Reading]) -> str:
    """For the top of the page; empty without readings."""
    counts = ", ".join(f"{count} {kind}" for kind, count in Counter(each.reading for each in readings).most_common())
    about = f"The words of {len(readings)} were read beside the labels and captions of their clips: {counts}."
    return f"{about} Their cards say why." if readings else ""


def tell(dissection: Dissection, page: Report, words: Mapping[At, str | None]) -> None:
    """Print what was written, and each unit with its words and the labels of its clips."""
    print(page)
    verdicts = {(row.site, row.unit): row.explanation_verdict for row in dissection.units()}
    for at in page.units:
        top = [each for each in dissection.unit(*at).top if each.telling][:MOST_TOP]
        print(f"\n{at[0]} {at[1]}: {words[at]} [{verdicts[at]}]")
        print("   ", "; ".join(f"{each.label} ({each.activation:.2f})" for each in top))


def photograph(page: Path, unit: str, out: Path) -> None:
    """A PNG of the upper part of a unit's card, with so few colours that it is small."""
    from playwright.sync_api import sync_playwright

    names: Iterable[str] = ("chromium", "chromium-browser", "google-chrome")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=next(filter(None, map(shutil.which, names)), None), args=["--no-sandbox"]
        )
        tab = browser.new_page(viewport={"width": 1240, "height": 2000}, device_scale_factor=1.35)
        tab.goto(page.resolve().as_uri())
        card = tab.locator(f'[id="{unit}"]')
        card.evaluate("card => card.scrollIntoView({block: 'start'})")  # cards out of sight have no layout yet
        tab.wait_for_timeout(500)
        upper, lower = card.bounding_box(), card.locator(".top").bounding_box()
        if upper is None or lower is None:
            raise ValueError(f"{unit} is not on the page")
        height = lower["y"] + lower["height"] - upper["y"] + 12
        taken = tab.screenshot(clip={**upper, "height": height})
        browser.close()
    out.parent.mkdir(parents=True, exist_ok=True)
    Image.open(BytesIO(taken)).convert("RGB").quantize(160, dither=Image.Dither.NONE).save(out, optimize=True)
    print(f"{out}: {out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
