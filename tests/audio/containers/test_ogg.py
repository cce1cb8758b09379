from __future__ import annotations

import numpy as np
import pytest

from and_nnsight.audio.containers.ogg import _checksum
from and_nnsight.audio.loading import AudioError, decode, load
from tests.audio.containers.damaging import RATE, id3, whole


def pages(content: bytes) -> list[bytes]:
    found, position = [], 0
    while position < len(content):
        table = content[position + 27 : position + 27 + content[position + 26]]
        end = position + 27 + len(table) + sum(table)
        found.append(content[position:end])
        position = end
    return found


@pytest.mark.parametrize("kind", ["vorbis", "opus"])
def test_a_chain_is_read_to_its_last_link(kind: str) -> None:
    one, two = whole(kind, 1.0, seed=0), whole(kind, 2.0, channels=2, seed=1)
    samples, rate = decode(one + two)
    assert rate == RATE
    assert np.array_equal(samples, np.concatenate([decode(one)[0], decode(two)[0]]))
    assert np.array_equal(decode(one + id3(50) + two)[0], samples), "with a tag between"
    for window in (RATE // 2, 2 * RATE):
        heard = load(one + two, RATE, window=window)
        assert np.array_equal(heard.samples, samples[:window])
        assert heard.seconds == pytest.approx(3.0)


def test_a_chain_of_two_codecs_is_one_clip() -> None:
    assert len(decode(whole("vorbis") + whole("opus"))[0]) == 2 * RATE


def test_a_chain_of_several_rates_is_set_aside() -> None:
    with pytest.raises(AudioError, match="is a chain of recordings at 16000 and 8000 Hz"):
        decode(whole("vorbis") + whole("vorbis", 1.0, 8000))


@pytest.mark.parametrize("kind", ["vorbis", "opus"])
def test_damage_is_seen_wherever_it_is(kind: str) -> None:
    content = whole(kind, 20.0)
    each = pages(content)
    assert len(each) > 4
    for number in range(2, len(each)):
        flipped = bytearray(each[number])
        flipped[-5] ^= 1
        with pytest.raises(AudioError, match="checksum of the page at byte"):
            decode(b"".join([*each[:number], flipped, *each[number + 1 :]]))
    with pytest.raises(AudioError, match="pages are missing before byte"):
        decode(b"".join([*each[:3], *each[4:]]))
    with pytest.raises(AudioError, match="is truncated: its last page is missing"):
        decode(b"".join(each[:-1]))
    with pytest.raises(AudioError, match="has no end, and another begins at byte"):
        decode(b"".join(each[:-1]) + content)
    with pytest.raises(AudioError, match="begins in the middle"):
        decode(b"".join(each[3:]))
    with pytest.raises(AudioError, match="is no page"):
        decode(content + b"\x01" * 5000)


def test_pages_without_sound_are_not_read_for_ever() -> None:
    each = pages(whole("vorbis"))
    idle = bytearray(each[1][:26] + b"\0")
    idle[5], idle[6:14] = 0, b"\xff" * 8
    more = []
    for number in range(12_000):
        idle[18:22] = (1 + number).to_bytes(4, "little")
        idle[22:26] = _checksum(bytes(idle)).to_bytes(4, "little")
        more.append(bytes(idle))
    with pytest.raises(AudioError, match="10,000 pages without sound before byte"):
        decode(b"".join([each[0], *more]))


def test_an_ogg_without_known_sound_is_set_aside() -> None:
    page = bytearray(pages(whole("vorbis"))[0])
    page[28:35] = b"\x80theora"
    page[5] |= 4
    page[22:26] = _checksum(bytes(page)).to_bytes(4, "little")
    with pytest.raises(AudioError, match="without a stream of sound"):
        decode(bytes(page))
