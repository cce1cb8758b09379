"""Measurements of a clip as one English sentence. The thresholds of the words stand here, and nowhere else."""

from __future__ import annotations

from ..records.acoustics import Acoustics

LOUDNESS = ((-18.0, "loud"), (-26.0, "moderately loud"), (-45.0, "quiet"), (float("-inf"), "faint"))
"""Least level in dBFS and the word from there on."""
PITCH = ((1500.0, "high-pitched"), (300.0, "mid-pitched"), (0.0, "low-pitched"))
"""Least pitch in Hz and the word from there on."""
TONE, NOISY_TONE, NOISE = 0.35, 0.5, 0.7
"""Noisiness up to which what has a pitch is a tone, and a noisy tone; and from where on anything is noise. What is
neither is a noisy sound."""
BRIGHT_HZ, DARK_HZ = 2500.0, 600.0
"""Centroids from where on a sound is bright, and below which it is dark (a noise: hissing, rumbling)."""
RICH, PURE = 2.5, 0.35
"""Centroid over pitch from where on a tone is rich in overtones; deviation from the pitch below which it is pure."""
BROAD_HZ = 1500.0
"""Spread from where on a noise is broadband."""
SHARP_SECONDS, GRADUAL_SECONDS = 0.03, 0.3
"""Rise times up to which an onset is sharp, and from where on the sound swells."""
HISSING_HZ = 5000.0
"""Centroid from where on a noise hisses, however broad it is."""
FAR = 1.5
"""Highest over lowest pitch of a swing that is a wail and no vibrato."""
CLICK_SECONDS, SHORT_SECONDS = 0.035, 0.25
"""Lengths up to which the noise of one onset is a click, and any sound is short."""
GLIDE = 0.6
"""Octaves a second from where on a pitch rises or falls."""
DECAY_DB = 9.0
"""Fall of the level from where on a sound dies away."""
SILENT_BETWEEN = 0.9
"""Depth of a swing of the level from where on there is silence in between: a repetition, not a pulsation."""
FLUTTER_HZ, ROUGH_HZ = 6.0, 18.0
"""Rates from where on a swing of the level is a flutter, and from where on it is heard as roughness."""
PACE = ((FLUTTER_HZ, "fast"), (2.5, "steady"), (0.0, "slow"))
"""Least rate in Hz of a rhythm and the word from there on."""
IRREGULAR = 4
"""Onsets from where on a row without a rate is irregular (a noise that is not silent in between: uneven)."""
UNBROKEN, MOSTLY_SILENT = 0.25, 0.6
"""Shares of silence below which a sound is unbroken, and from where on it is said that there is silence."""
THROUGHOUT = 0.9
"""Share of the clip's length from where on a sound's length is not said."""
SILENCE = "Silence."


def describe(measured: Acoustics) -> str:
    """One sentence: how loud, how high, how bright or noisy, how it begins, moves, repeats and ends."""
    if measured.silent:
        return SILENCE
    loudness = next(word for least, word in LOUDNESS if measured.level_dbfs >= least)
    thing = ", ".join([loudness, *_length_words(measured), *_colours(measured)]) + f" {_noun(measured)}"
    if _several(measured):
        sentence = f"{_row(measured)} of {thing}s"
    else:
        sentence = f"{'An' if thing[0] in 'aeiou' else 'A'} {thing}"
    parts = [*_beginning_and_end(measured), *_movement(measured), *_rate(measured), *_length(measured)]
    sentence += "".join(parts)
    return f"{sentence}, with long silences." if measured.silence_share >= MOSTLY_SILENT else f"{sentence}."


def _row(measured: Acoustics) -> str:
    """What several sounds are together."""
    if measured.onsets == 2:
        return "A pair"
    return "An irregular row" if measured.onsets >= IRREGULAR and not measured.level_rate_hz > 0 else "A row"


def has_pitch(measured: Acoustics) -> bool:
    """Whether what sounds has a pitch for the most part, and is a tone more than a noise."""
    return measured.pitch_share >= 0.5 and measured.noisiness < NOISY_TONE


def _pulsates(measured: Acoustics) -> bool:
    """Whether the level swings regularly without falling silent."""
    return measured.level_rate_hz > 0 and (measured.level_depth < SILENT_BETWEEN or measured.onsets <= 1)


def _uneven(measured: Acoustics) -> bool:
    """Whether it is one noise with many bumps, like rain, and not a row of noises."""
    unbroken = measured.silence_share < UNBROKEN and not measured.level_rate_hz > 0
    return unbroken and measured.onsets >= IRREGULAR and measured.noisiness >= NOISE


def _several(measured: Acoustics) -> bool:
    return measured.onsets > 1 and not _pulsates(measured) and not _uneven(measured)


def _each(measured: Acoustics) -> float:
    """Seconds of sound for each onset."""
    return measured.seconds * (1 - measured.silence_share) / (measured.onsets if _several(measured) else 1)


def _noun(measured: Acoustics) -> str:
    if measured.onsets > 0 and measured.noisiness >= TONE and _each(measured) <= CLICK_SECONDS:
        return "click"
    if has_pitch(measured):
        return "tone" if measured.noisiness < TONE else "noisy tone"
    return "noise" if measured.noisiness >= NOISE else "noisy sound"


def _length_words(measured: Acoustics) -> list[str]:
    if _uneven(measured):
        return ["uneven"]
    if measured.onsets > 0 and _each(measured) <= SHORT_SECONDS and _noun(measured) != "click":
        return ["short"]
    return ["unbroken"] if measured.onsets == 0 and measured.silence_share < 1 - THROUGHOUT else []


def _colours(measured: Acoustics) -> list[str]:
    words = ["rough"] if measured.level_rate_hz >= ROUGH_HZ else []
    return [*words, *(_tone_colours(measured) if has_pitch(measured) else _noise_colours(measured))]


def _noise_colours(measured: Acoustics) -> list[str]:
    if measured.bandwidth_hz >= BROAD_HZ and measured.brightness_hz < HISSING_HZ:
        return ["broadband"]
    noise = _noun(measured) == "noise"
    if measured.brightness_hz >= BRIGHT_HZ:
        return ["hissing" if noise else "bright"]
    if measured.brightness_hz < DARK_HZ:
        return ["rumbling" if noise else "dark"]
    return []


def _tone_colours(measured: Acoustics) -> list[str]:
    words = [next(word for least, word in PITCH if measured.pitch_hz >= least)]
    if _is_pure(measured):
        return [*words, "pure"]
    if measured.brightness_hz >= RICH * measured.pitch_hz and measured.noisiness < TONE:
        words.append("rich")
    if measured.brightness_hz >= BRIGHT_HZ:
        words.append("bright")
    elif measured.brightness_hz < DARK_HZ and "low-pitched" not in words:
        words.append("dark")
    return words


def _is_pure(measured: Acoustics) -> bool:
    off = max(measured.bandwidth_hz, abs(measured.brightness_hz - measured.pitch_hz))
    return off < PURE * measured.pitch_hz and measured.noisiness < PURE / 3


def _beginning_and_end(measured: Acoustics) -> list[str]:
    words = []
    if measured.attack_seconds <= SHARP_SECONDS:
        words.append("with sharp onsets" if _several(measured) else "with a sharp onset")
    elif measured.attack_seconds >= GRADUAL_SECONDS:
        words.append("swelling gradually")
    if measured.decay_db >= DECAY_DB and not _several(measured):
        words.append("dying away")
    return [f" {' and '.join(words)}"] if words else []


def _movement(measured: Acoustics) -> list[str]:
    if not has_pitch(measured):
        return []
    if measured.pitch_rate_hz > 0:
        far = measured.pitch_high_hz >= FAR * measured.pitch_low_hz
        manner = "wailing up and down" if far else "wavering in pitch"
        return [f", {manner} about {_times(measured.pitch_rate_hz)} a second"]
    if abs(measured.pitch_slope) >= GLIDE and measured.pitch_high_hz >= 1.2 * measured.pitch_low_hz:
        each = "each " if _several(measured) else ""
        return [f", {each}{'rising' if measured.pitch_slope > 0 else 'falling'} in pitch"]
    return []


def _rate(measured: Acoustics) -> list[str]:
    rate = measured.level_rate_hz
    if not rate > 0 or rate >= ROUGH_HZ:
        return []
    manner = "repeating"
    if _pulsates(measured):
        manner = "fluttering" if rate >= FLUTTER_HZ else "pulsating"
    pace = next(word for least, word in PACE if rate >= least)
    return [f", {manner} in a {pace} rhythm, about {_times(rate)} a second"]


def _length(measured: Acoustics) -> list[str]:
    short = _each(measured) <= SHORT_SECONDS
    if _several(measured) or short or measured.sound_seconds >= THROUGHOUT * measured.seconds:
        return []
    return [f", lasting about {measured.sound_seconds:.1f} seconds"]


def _times(rate: float) -> str:
    return {1: "once", 2: "twice"}.get(round(rate), f"{round(rate)} times")
