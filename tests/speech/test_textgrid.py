"""TextGrids in every form that Praat and others write, and files that are damaged."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from and_nnsight import Annotation, AnnotationError
from and_nnsight.speech.textgrid import read_textgrid

LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 2.5
tiers? <exists>
size = 3
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 2.5
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 0.5
            text = ""
        intervals [2]:
            xmin = 0.5
            xmax = 1.25
            text = "say ""sch\u00f6n"" ! item [2]: xmin = 3"
        intervals [3]:
            xmin = 1.25
            xmax = 2.5
            text = "two
lines"
    item [2]:
        class = "TextTier"
        name = "tones"
        xmin = 0
        xmax = 2.5
        points: size = 1
        points [1]:
            number = 0.7
            mark = "H*"
    item [3]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 2.5
        intervals: size = 1
        intervals [1]:
            xmin = 1e-05
            xmax = 2.5
            text = "\u0283"
"""
SHORT = """File type = "ooTextFile short"
"TextGrid"

0
2.5
<exists>
3
"IntervalTier"
"words"
0
2.5
3
0
0.5
""
0.5
1.25
"say ""sch\u00f6n"" ! item [2]: xmin = 3"
1.25
2.5
"two
lines"
"TextTier"
"tones"
0
2.5
1
0.7
"H*"
"IntervalTier"
"phones"
0
2.5
1
1e-05
2.5
"\u0283"
"""
HELD = (
    Annotation("words", 'say "sch\u00f6n" ! item [2]: xmin = 3', 0.5, 1.25),
    Annotation("words", "two\nlines", 1.25, 2.5),
    Annotation("phones", "\u0283", 1e-05, 2.5),
)


@pytest.mark.parametrize("text", [LONG, SHORT], ids=["long", "short"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_every_form_holds_the_same(text: str, encoding: str, ends: str, tmp_path: Path) -> None:
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    path = tmp_path / "a.TextGrid"
    path.write_bytes(mark + text.replace("\n", ends).encode(encoding))
    grid = read_textgrid(path)
    expected = tuple(Annotation(each.tier, each.label.replace("\n", ends), each.start, each.end) for each in HELD)
    assert grid.annotations == expected
    assert (grid.tiers, grid.point_tiers) == (("words", "phones"), ("tones",))


def test_comments_layout_and_old_encodings_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "a.TextGrid"
    path.write_bytes(
        '"ooTextFile" "TextGrid" 0 1 <exists> 1 ! one\n"IntervalTier" "w" 0 1 1 0 1 "sch\u00f6n"'.encode("latin-1")
    )
    assert read_textgrid(path).annotations == (Annotation("w", "sch\u00f6n", 0.0, 1.0),)
    path.write_text('File type = "ooTextFile"\nObject class = "TextGrid"\nxmin = 0\nxmax = 1\ntiers? <absent>\n')
    assert read_textgrid(path).annotations == ()


@pytest.mark.parametrize("text", [LONG, SHORT], ids=["long", "short"])
def test_a_file_that_is_cut_anywhere_is_refused_by_its_name(text: str, tmp_path: Path) -> None:
    path = tmp_path / "cut.TextGrid"
    words = text.rstrip()
    for end in range(1, len(words) - 1, 7):
        path.write_text(words[:end], encoding="utf-8")
        with pytest.raises(AnnotationError, match=r"cut\.TextGrid is no TextGrid that can be read: ") as refused:
            read_textgrid(path)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("0.5\n1.25", "1.5\n1.25"), "begins at 1.5 s and ends at 1.25 s"),
        (('"IntervalTier"', '"Sound"'), "a tier is of the class 'Sound'"),
        (("\n3\n", "\n-3\n"), "the number of tiers is -3"),
        (("\n3\n", "\n1e9\n"), "stands where the beginning of an interval should be"),
        (("\n2.5\n", "\n1e999\n"), "a time is 1e999"),
        (("ooTextFile short", "a letter"), "does not say that it is a TextGrid"),
        (("ooTextFile short", "Praat chronological TextGrid text file"), "chronological"),
        (("0.5\n1.25", '"0.5"\n1.25'), "'0.5' stands where the beginning of an interval should be"),
    ],
)  # fmt: skip
def test_damage_is_told_in_one_sentence(change: tuple[str, str], reason: str, tmp_path: Path) -> None:
    path = tmp_path / "a.TextGrid"
    assert change[0] in SHORT
    path.write_text(SHORT.replace(*change), encoding="utf-8")
    with pytest.raises(AnnotationError, match=reason) as refused:
        read_textgrid(path)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 100, b"ooBinaryFile\x08TextGrid", b"\xff\xfe\x00", bytes(range(256))]
)
def test_bytes_that_are_no_text_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.TextGrid"
    path.write_bytes(content)
    with pytest.raises(AnnotationError, match=r"a\.TextGrid"):
        read_textgrid(path)


def test_random_words_are_read_or_refused(tmp_path: Path) -> None:
    """Whatever stands where: no other error comes out."""
    path = tmp_path / "a.TextGrid"
    words = ['"IntervalTier"', "0", "-1", "<exists>", '"a"', "2"]
    for tail in itertools.product(words, repeat=3):
        path.write_text('"ooTextFile" "TextGrid" 0 1 <exists> 1 ' + " ".join(tail), encoding="utf-8")
        with pytest.raises(AnnotationError):
            read_textgrid(path)
