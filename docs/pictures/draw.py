"""Draw the pictures of docs/concepts.md: `python docs/pictures/draw.py` writes them beside itself.

The moment at which a unit fires is drawn from the embedded model and a sound that it generates; the others are schemes.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from and_nnsight import dissect
from and_nnsight.demo import make_sound, tiny_ast_path

WIDTH = 760
INK, FAINT, LINE, ACCENT, WARM = "#1f2328", "#59636e", "#c6ccd3", "#0969da", "#bc4c00"
SITE, UNIT = "blocks.2.mlp.hook_post", 198


def main() -> None:
    """All of them."""
    here = Path(__file__).parent
    for name, picture in {
        "walk": walk(),
        "sites": sites(),
        "moment": moment(),
        "evidence": evidence(),
        "null": null(),
    }.items():
        (here / f"{name}.svg").write_text(picture, encoding="utf-8")
        print(f"{name}.svg: {len(picture) / 1000:.1f} kB")


def card(height: int, title: str, *pieces: str) -> str:
    """A picture on a light card, which is legible on a dark page too."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
            f'font-family="system-ui, sans-serif" font-size="13" role="img"><title>{escape(title)}</title>',
            f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8" fill="#fff" stroke="{LINE}"/>',
            *pieces,
            "</svg>\n",
        ]
    )


def text(
    x: float, y: float, words: str, color: str = INK, anchor: str = "middle", size: int = 13, mono: bool = False
) -> str:
    """A line of words."""
    family = ' font-family="ui-monospace, monospace"' if mono else ""
    place = f'x="{x:g}" y="{y:g}" text-anchor="{anchor}"'
    return f'<text {place} fill="{color}" font-size="{size}"{family}>{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, fill: str = "#f6f8fa", stroke: str = LINE) -> str:
    """A box."""
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="5" fill="{fill}" stroke="{stroke}"/>'


def arrow(x: float, y: float, to_x: float, to_y: float, color: str = FAINT) -> str:
    """An arrow, along a line that is level or upright."""
    back = 6 if to_x > x or to_y > y else -6
    sides = f"l{-back} -4 v8" if y == to_y else f"l-4 {-back} h8"
    head = f"M{to_x:g} {to_y:g} {sides} z"
    return f'<path d="M{x:g} {y:g} L{to_x:g} {to_y:g}" stroke="{color}" fill="none"/><path d="{head}" fill="{color}"/>'


def curve(xs: np.ndarray, ys: np.ndarray, color: str, fill: str = "none") -> str:
    """A line through points."""
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
    return f'<polyline points="{points}" fill="{fill}" stroke="{color}" stroke-width="1.5"/>'


def walk() -> str:
    """From clips to a verdict."""
    steps = (
        ("clips", "waveforms", "clip × sample"),
        ("model", "read at its sites", "clip × frame × unit"),
        ("pooling", "one value a clip", "clip × unit"),
        ("exemplars", "K at either end", "K × unit"),
        ("words", "what they share", "a sentence a unit"),
        ("verdict", "on other clips", "holds, or not"),
    )
    width, gap = 104, 19
    pieces = []
    for place, (title, what, shape) in enumerate(steps):
        x = 20 + place * (width + gap)
        pieces += [
            box(x, 30, width, 62, "#ddf4ff" if place in (3, 5) else "#f6f8fa"),
            text(x + width / 2, 56, title, size=15),
            text(x + width / 2, 76, what, FAINT, size=11),
            text(x + width / 2, 112, shape, ACCENT, size=11),
        ]
        if place:
            pieces.append(arrow(x - gap + 2, 61, x - 2, 61))
    for first, last, name in ((0, 3, "dissect"), (4, 4, "explain, label"), (5, 5, "score")):
        start, end = 20 + first * (width + gap), 20 + last * (width + gap) + width
        pieces += [
            f'<path d="M{start} 126 v6 H{end} v-6" stroke="{LINE}" fill="none"/>',
            text((start + end) / 2, 150, name, mono=True),
        ]
    return card(164, "From clips to a verdict: the steps and the shapes of what they hand on", *pieces)


def sites() -> str:
    """Where a block can be read."""
    stream, top = 90, 34
    pieces = [
        arrow(stream, 350, stream, top, INK),
        text(stream, 372, "from the block before", FAINT, size=11),
        text(stream, 24, "to the next block", FAINT, size=11),
    ]
    for y, name in ((272, "attention"), (132, "MLP")):
        pieces += [
            f'<path d="M{stream} {y + 50} H230" stroke="{FAINT}" fill="none"/>',
            arrow(230, y + 50, 230, y + 32),
            box(150, y - 26, 160, 56),
            text(230, y + 6, name, size=15),
            f'<path d="M230 {y - 26} V{y - 44} H{stream + 9}" stroke="{FAINT}" fill="none"/>',
            f'<circle cx="{stream}" cy="{y - 44}" r="9" fill="#fff" stroke="{INK}"/>',
            text(stream, y - 39, "+", size=15),
        ]
    named = (
        (272, 310, "attn.hook_z", "the attention's heads, side by side"),
        (228, 230, "hook_attn_out", "what the attention adds to the stream"),
        (158, 310, "mlp.hook_pre", "neurons before the activation function"),
        (132, 310, "mlp.hook_post", "neurons after it: the preset default"),
        (88, 230, "hook_mlp_out", "what the MLP adds to the stream"),
        (58, stream, "hook_resid_post", "the stream behind the block"),
    )
    for y, x, name, what in named:
        pieces += [
            f'<path d="M{x} {y} H352" stroke="{ACCENT}" stroke-dasharray="2 3" fill="none"/>',
            f'<circle cx="{x}" cy="{y}" r="3.5" fill="{ACCENT}"/>',
            text(360, y + 4, name, ACCENT, "start", 13, mono=True),
            text(490, y + 4, what, FAINT, "start", 12),
        ]
    return card(388, "A transformer block, and the names of the tensors that can be read in it", *pieces)


def moment() -> str:
    """A clip's waveform, and what a unit of the embedded model does meanwhile."""
    sound = make_sound("falling sweep", index=9)
    with TemporaryDirectory() as folder:
        dissection = dissect(
            str(tiny_ast_path()), [sound], SITE, k=1, out=folder, keep_exemplars=[(SITE, UNIT)], progress=False
        )
        unit = dissection.unit(SITE, UNIT)
        kept = unit.curve(unit.top[0].clip)
    seconds, values = (kept.start + kept.stop) / 2, kept.activation
    left, right, length = 60.0, 730.0, len(sound.waveform) / sound.sampling_rate

    def at(when: Any) -> Any:
        return left + (right - left) * np.asarray(when) / length

    wave = np.asarray(sound.waveform)[:: max(1, len(sound.waveform) // 900)]
    peak, best = float(values.max()), int(values.argmax())
    heights = 190 - 70 * np.clip(values, 0, None) / peak
    x = float(at(seconds[best]))
    return card(
        240,
        "A clip's waveform and a unit's activation over it: the highest frame is what the clip counts for",
        text(20, 24, f"a generated falling sweep, and {SITE} {UNIT} of the embedded model", FAINT, "start", 12),
        curve(at(np.linspace(0, length, len(wave))), 72 - 34 * wave / np.abs(wave).max(), "#8c959f"),
        curve(at(seconds), heights, ACCENT),
        *(
            f'<circle cx="{at(s):.1f}" cy="{h:.1f}" r="2" fill="{ACCENT}"/>'
            for s, h in zip(seconds, heights, strict=True)
        ),
        f'<path d="M{x:.1f} 38 V196" stroke="{WARM}" stroke-dasharray="3 3"/>',
        text(x + 8, 128, f"max: {peak:.2f} at {seconds[best]:.1f} s", WARM, "start"),
        f'<path d="M{left} 196 H{right}" stroke="{LINE}"/>',
        *(text(float(at(s)), 214, f"{s:g} s", FAINT, size=11) for s in np.arange(0, length + 0.01, 0.5)),
        text(right, 232, "each dot: what is highest of the frames at that time", FAINT, "end", 11),
    )


def evidence() -> str:
    """Which exemplars say something."""
    bars = (
        (0.92, "dog", "evidence"),
        (0.88, "dog", "evidence"),
        (0.74, "wolf", "evidence"),
        (0.74, "wolf", "a copy of the third"),
        (0.11, "rain", "weak: less than a fifth of the first"),
        (0.0, "bell", "a tie that reaches the end"),
        (0.0, "car", "of the list: the order of"),
        (0.0, "door", "files cut it, nothing else"),
    )
    pieces = [text(24, 26, "the K = 8 highest clips of one unit", FAINT, "start", 12)]
    for place, (value, label, why) in enumerate(bars):
        y, telling = 42 + place * 24, why == "evidence"
        pieces += [
            text(40, y + 14, str(place + 1), FAINT, size=11),
            text(96, y + 14, label),
            box(140, y, max(2.0, 340 * value), 18, ACCENT if telling else "#d0d7de", ACCENT if telling else LINE),
            text(150 + 340 * value, y + 14, f"{value:.2f}", FAINT, "start", 11),
            text(540, y + 14, why, ACCENT if telling else FAINT, "start", 12),
        ]
    return card(248, "Of a unit's eight highest clips three are evidence", *pieces)


def null() -> str:
    """A claim beside chance."""
    xs = np.linspace(0, 1, 121)
    heights = np.exp(-0.5 * ((xs - 0.32) / 0.09) ** 2)
    left, right, floor = 60.0, 700.0, 150.0
    across = left + (right - left) * xs
    claim = left + (right - left) * 0.74
    return card(
        200,
        "The claim's own number beside those of chance",
        curve(np.append(across, right), np.append(floor - 100 * heights, floor), FAINT, "#eaeef2"),
        f'<path d="M{left} {floor} H{right}" stroke="{LINE}"/>',
        text(float(left + (right - left) * 0.32), 40, "the same claim on shuffled clips", FAINT, size=12),
        f'<path d="M{claim:.1f} 60 V{floor}" stroke="{WARM}" stroke-width="2"/>',
        text(claim, 50, "the claim on this unit's clips", WARM),
        text(380, 178, "how well what is said tells the held-out clips that the unit fires for", FAINT, size=12),
    )


if __name__ == "__main__":
    main()
