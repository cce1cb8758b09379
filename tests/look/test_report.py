"""`write_report`: which units, what it fills in, what it says where it cannot, and how large it becomes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from and_nnsight import Dissection, DissectionError, PluginError, dissect
from and_nnsight.demo import make_sounds, tiny_ast_path
from and_nnsight.dissection.selectivity import most_selective_units
from and_nnsight.explain import search
from and_nnsight.look import Report, report, write_report
from tests.look.conftest import SITES, UNITS

pytestmark = pytest.mark.slow


def ids(path: Path) -> list[str]:
    return re.findall(r'<article class="unit" id="([^"]+)"', path.read_text(encoding="utf-8"))


def test_the_most_selective_units_are_shown(dissection: Dissection, written: Report) -> None:
    expected = most_selective_units(dissection, UNITS)
    assert list(written.units) == expected
    assert ids(written.path) == [f"{site}:{unit}" for site, unit in expected]
    assert written.bytes == written.path.stat().st_size
    assert repr(written).startswith("Report(") and f"{UNITS} units" in repr(written) and len(repr(written)) < 200


def test_units_by_name(dissection: Dissection, tmp_path: Path, written: Report) -> None:
    known = written.units[:2]
    made = write_report(
        dissection, tmp_path / "r.html", [known[1], f"{known[0][0]}:{known[0][1]}", known[1]], progress=False
    )
    assert made.units == (known[1], known[0]), "each once, in the order given"


def test_units_by_words(dissection: Dissection, tmp_path: Path) -> None:
    sounds = list(make_sounds(per_class=4))
    made = write_report(dissection, tmp_path / "r.html", search="falling tone", best=3, data=sounds, progress=False)
    assert list(made.units) == [(match.site, match.unit) for match in search(dissection, "falling tone", most=3)]
    with pytest.raises(DissectionError, match="no unit's explanation or label has anything of 'zzz'"):
        write_report(dissection, tmp_path / "none.html", search="zzz", progress=False)
    assert not (tmp_path / "none.html").exists()


@pytest.mark.parametrize(
    ("units", "complaint"),
    [([("nowhere", 0)], "was not dissected"), ([(SITES[0], 9999)], "has units 0 to 255"), ([SITES[0]], "unit")],
)
def test_units_that_there_are_not(dissection: Dissection, tmp_path: Path, units: list, complaint: str) -> None:
    with pytest.raises(DissectionError, match=complaint):
        write_report(dissection, tmp_path / "r.html", units, progress=False)


def test_numbers_that_make_no_sense(dissection: Dissection, tmp_path: Path) -> None:
    for options in ({"best": 0}, {"most_megabytes": 0.0}):
        with pytest.raises(ValueError, match=next(iter(options))):
            write_report(dissection, tmp_path / "r.html", progress=False, **options)


def test_what_is_there_is_not_made_again(dissection: Dissection, written: Report, tmp_path: Path) -> None:
    """Neither model nor data is needed for units that have had a report."""
    again = write_report(
        dissection, tmp_path / "r.html", written.units, model="/nowhere", data="/nowhere", progress=False
    )
    assert again.path.read_bytes() == written.path.read_bytes()


def test_what_cannot_be_made_is_said(tmp_path: Path) -> None:
    sounds = list(make_sounds(per_class=1))
    made = dissect(str(tiny_ast_path()), sounds, SITES[:1], k=2, out=tmp_path / "run", device="cpu", progress=False)
    with pytest.raises(DissectionError, match=r"data= \(--data\)"):
        write_report(made, tmp_path / "r.html", best=2, progress=False)
    assert not (tmp_path / "r.html").exists()
    assert write_report(made, tmp_path / "r.html", best=2, data=sounds, progress=False).sounds > 0
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Not explained yet (and-nnsight explain)." in text


def test_long_clips_are_cut_where_the_file_would_be_too_large(
    dissection: Dissection, written: Report, tmp_path: Path
) -> None:
    cut = write_report(dissection, tmp_path / "cut.html", written.units, most_megabytes=1.8, progress=False)
    assert written.excerpt is None and written.bytes > 1.9e6
    assert cut.excerpt is not None and cut.bytes <= 1.8e6
    text = cut.path.read_text(encoding="utf-8")
    assert f"Of longer clips {cut.excerpt:g} seconds" in text and f">part {cut.excerpt:.1f} s<" in text
    for exemplar in re.findall(r'data-from="([\d.]+)" data-seconds="([\d.]+)" data-start="([\d.]+)"', text):
        start, seconds, moment = map(float, exemplar)
        assert start <= moment <= start + seconds


def test_what_is_to_be_installed_is_said(
    dissection: Dissection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("and_nnsight.plugins.find_spec", lambda name: None)
    with pytest.raises(PluginError, match=r"and-nnsight\[look\]"):
        report.write_report(dissection, tmp_path / "r.html", progress=False)


def test_a_file_that_is_no_report_is_not_replaced(dissection: Dissection, written: Report, tmp_path: Path) -> None:
    for name, content in (
        ("thesis.html", "<!doctype html><p>mine"),
        ("notes.txt", "mine " * 1000),
        ("zeros", "\0" * 9),
    ):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        with pytest.raises(FileExistsError, match=r"is no report: name another file, or pass overwrite=True \(--over"):
            write_report(dissection, path, written.units, progress=False)
        assert path.read_text(encoding="utf-8") == content
        write_report(dissection, path, written.units[:1], overwrite=True, progress=False)
        assert ids(path) == [f"{site}:{unit}" for site, unit in written.units[:1]]
    write_report(dissection, path, written.units[:2], progress=False)
    assert len(ids(path)) == 2, "a report is replaced"
    (tmp_path / "empty.html").touch()
    write_report(dissection, tmp_path / "empty.html", written.units[:1], progress=False)
    with pytest.raises(IsADirectoryError, match=r"is a folder: name the file to write, for example .*report\.html"):
        write_report(dissection, tmp_path, written.units, progress=False)


def test_only_what_is_shown_is_kept(tmp_path: Path) -> None:
    """At most eight clips at the upper end, four at the lower, and none that the order of the files put there."""
    sounds = list(make_sounds(per_class=1))
    made = dissect(str(tiny_ast_path()), sounds, SITES[:1], k=12, out=tmp_path / "run", device="cpu", progress=False)
    write_report(made, tmp_path / "r.html", [(SITES[0], 3)], data=sounds, progress=False)
    unit, store = made.unit(SITES[0], 3), made.exemplars()
    expected = {each.clip for each in (*unit.top[:8], *unit.bottom[:4]) if each.decided}
    assert set(store.clips) == expected == {clip for _, _, clip in store.curves}


def test_what_persons_add(dissection: Dissection, written: Report, tmp_path: Path) -> None:
    """A note on the page, notes on units, whose sounds clips are: each as text, where it belongs."""
    (site, unit), other = written.units[:2]
    top = dissection.unit(site, unit).top
    made = write_report(
        dissection, tmp_path / "r.html", [(site, unit), other], note="By <b>hand</b>.\n\nAs it is.",
        notes={f"{site}:{unit}": "I hear & doubt"}, credits={top[0].clip: "Her <i>bell</i>, CC BY 4.0"},
        progress=False,
    )  # fmt: skip
    text = made.path.read_text(encoding="utf-8")
    assert "<b>hand" not in text and "<i>bell" not in text
    assert text.index("By &lt;b&gt;hand&lt;/b&gt;.") < text.index("As it is.") < text.index("<article")
    first, second = re.findall(r"<article.*?</article>", text, re.DOTALL)
    assert "I hear &amp; doubt" in first and "I hear" not in second
    assert f'data-clip="{top[0].clip}"' in first
    tile = first[first.index(f'data-clip="{top[0].clip}"') :]
    assert "Her &lt;i&gt;bell&lt;/i&gt;, CC BY 4.0" in tile[: tile.index("</li>")]
    assert "CC BY 4.0</bdi> (1 clip)" in text[text.index("Whose sounds these are") :]
    with pytest.raises(DissectionError, match="was not dissected"):
        write_report(dissection, tmp_path / "none.html", [other], notes={("nowhere", 0): "?"}, progress=False)
    assert "Whose sounds these are" not in written.path.read_text(encoding="utf-8")
