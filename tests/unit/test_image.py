"""A picture converts at most once each way, whoever asks, and never takes the process down."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline import image as image_module
from pipeline.errors import DropMessage
from pipeline.image import MAX_PIXELS, MAX_SCANS, Image, Pixels, decode_jpeg, encode_jpeg, jpeg_size
from tests.examples import pixels

EXIF_UPRIGHT_BY_TURNING = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
"""An EXIF block with orientation 6: a camera held upright."""


def jpeg(width: int = 64, height: int = 48, *options: int) -> bytes:
    """A JPEG as OpenCV writes it with these options."""
    ok, data = cv2.imencode(".jpg", pixels(width, height), list(options))
    assert ok
    return data.tobytes()


def with_segment(data: bytes, marker: int, body: bytes) -> bytes:
    """A JPEG with one more segment in front."""
    return data[:2] + bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2) + body + data[2:]


def stating(data: bytes, width: int, height: int) -> bytes:
    """A baseline JPEG that states another size than it has."""
    at = data.index(b"\xff\xc0")
    return data[: at + 5] + height.to_bytes(2) + width.to_bytes(2) + data[at + 9 :]


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Records each conversion that is really made."""
    made: list[str] = []

    def recording(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **options: object) -> object:
            made.append(name)
            return real(*args, **options)

        return call

    monkeypatch.setattr(image_module, "encode_jpeg", recording("encode", encode_jpeg))
    monkeypatch.setattr(image_module, "decode_jpeg", recording("decode", decode_jpeg))
    return made


class TestConversion:
    def test_pixels_are_encoded_once(self, conversions: list[str]) -> None:
        picture = Image(pixels=pixels())
        assert conversions == []
        assert picture.jpeg is picture.jpeg
        assert conversions == ["encode"]

    def test_a_jpeg_is_decoded_once(self, conversions: list[str]) -> None:
        picture = Image(jpeg=jpeg())
        assert (picture.width, picture.height) == (64, 48)
        assert conversions == []
        assert picture.pixels is picture.pixels
        assert conversions == ["decode"]

    def test_what_is_there_is_never_converted(self, conversions: list[str]) -> None:
        array, data = pixels(), jpeg()
        picture = Image(pixels=array, jpeg=data)
        assert picture.pixels is array
        assert picture.jpeg is data
        assert picture.encoded_only().jpeg is data
        assert conversions == []

    def test_a_picture_survives_encoding_and_decoding(self) -> None:
        picture = Image(pixels=pixels(), quality=95)
        again = Image(jpeg=picture.jpeg)
        assert again.pixels.shape == (48, 64, 3)
        assert again.pixels.dtype == np.uint8
        assert np.abs(again.pixels.astype(int) - picture.pixels).mean() < 12  # a picture of other blocks is at 85

    def test_quality_is_kept(self) -> None:
        low, high = (Image(pixels=pixels(), quality=quality) for quality in (10, 95))
        assert len(low.jpeg) < len(high.jpeg)
        assert low.encoded_only().quality == 10

    def test_an_image_needs_something(self) -> None:
        with pytest.raises(ValueError, match="needs pixels or a JPEG"):
            Image()

    def test_encoded_only_holds_no_pixels(self, conversions: list[str]) -> None:
        picture = Image(pixels=pixels()).encoded_only()
        assert conversions == ["encode"]
        assert picture.pixels.shape == (48, 64, 3)
        assert conversions == ["encode", "decode"]

    @pytest.mark.parametrize(
        ("width", "height", "shape"),
        [(8, 6, (6, 8, 3)), (9, 6, (12, 16, 3)), (17, 6, (24, 32, 3)), (33, 6, (48, 64, 3)), (500, 500, (48, 64, 3))],
    )
    def test_pixels_at_least_decodes_no_more_than_is_needed(
        self, width: int, height: int, shape: tuple[int, ...]
    ) -> None:
        assert Image(jpeg=jpeg()).pixels_at_least(width, height).shape == shape

    def test_pixels_at_least_gives_pixels_that_are_there(self, conversions: list[str]) -> None:
        array = pixels()
        assert Image(pixels=array).pixels_at_least(8, 6) is array
        assert Image(pixels=array, jpeg=jpeg()).pixels_at_least(8, 6) is array
        assert conversions == []

    @pytest.mark.parametrize("reduce", [1, 2, 4, 8])
    def test_reduced_sizes_are_rounded_up(self, reduce: int) -> None:
        assert decode_jpeg(jpeg(67, 43), reduce=reduce).shape == (-(-43 // reduce), -(-67 // reduce), 3)


class TestThreads:
    def test_many_threads_get_one_conversion(self, conversions: list[str]) -> None:
        pictures = [Image(pixels=pixels(320, 240, seed)) for seed in range(8)]
        pictures += [Image(jpeg=picture.jpeg) for picture in pictures]
        conversions.clear()
        together = threading.Barrier(8)

        def ask(_: int) -> list[tuple[int, int]]:
            together.wait()
            return [(id(picture.pixels), id(picture.jpeg)) for picture in pictures]

        with ThreadPoolExecutor(8) as pool:
            seen = list(pool.map(ask, range(8)))
        assert all(one == seen[0] for one in seen)
        assert conversions.count("decode") == 8
        assert conversions.count("encode") == 0

    def test_pixels_that_are_there_do_not_wait_for_an_encoder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        encoding, go_on = threading.Event(), threading.Event()

        def slow(array: Pixels, quality: int) -> bytes:
            encoding.set()
            assert go_on.wait(60)
            return encode_jpeg(array, quality)

        monkeypatch.setattr(image_module, "encode_jpeg", slow)
        picture = Image(pixels=pixels())
        with ThreadPoolExecutor(2) as pool:
            encoded = pool.submit(lambda: picture.jpeg)
            assert encoding.wait(60)
            try:
                assert pool.submit(lambda: picture.pixels).result(10) is picture.pixels
                assert pool.submit(lambda: picture.pixels_at_least(8, 6)).result(10) is picture.pixels
                assert not encoded.done()
            finally:
                go_on.set()
            assert jpeg_size(encoded.result(10)) == (64, 48)

    def test_a_jpeg_that_is_there_does_not_wait_for_a_decoder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        decoding, go_on = threading.Event(), threading.Event()

        def slow(data: bytes) -> Pixels:
            decoding.set()
            assert go_on.wait(60)
            return decode_jpeg(data)

        monkeypatch.setattr(image_module, "decode_jpeg", slow)
        data = jpeg()
        picture = Image(jpeg=data)
        with ThreadPoolExecutor(2) as pool:
            decoded = pool.submit(lambda: picture.pixels)
            assert decoding.wait(60)
            try:
                assert pool.submit(lambda: picture.jpeg).result(10) is data
                assert not decoded.done()
            finally:
                go_on.set()
            assert decoded.result(10).shape == (48, 64, 3)


class TestSize:
    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(jpeg(67, 43), id="baseline"),
            pytest.param(jpeg(67, 43, cv2.IMWRITE_JPEG_PROGRESSIVE, 1), id="progressive"),
            pytest.param(jpeg(67, 43, cv2.IMWRITE_JPEG_OPTIMIZE, 1), id="optimized"),
            pytest.param(jpeg(67, 43, cv2.IMWRITE_JPEG_RST_INTERVAL, 2), id="restart markers"),
            pytest.param(with_segment(jpeg(67, 43), 0xE1, EXIF_UPRIGHT_BY_TURNING), id="turned by EXIF"),
            pytest.param(with_segment(jpeg(67, 43), 0xE1, b"Exif\0\0" + jpeg(16, 8)), id="thumbnail in EXIF"),
            pytest.param(with_segment(jpeg(67, 43), 0xFE, b"\xff\xc0\0\x11\x08" + b"\0\x01" * 8), id="comment"),
            pytest.param(jpeg(67, 43)[:2] + b"\xff\xff\xff" + jpeg(67, 43)[2:], id="fill bytes"),
        ],
    )
    def test_the_stated_size_is_that_of_the_pixels(self, data: bytes) -> None:
        assert jpeg_size(data) == (67, 43)
        assert decode_jpeg(data).shape == (43, 67, 3)
        assert (Image(jpeg=data).width, Image(jpeg=data).height) == (67, 43)

    def test_the_samples_are_what_they_are_called(self) -> None:
        assert b"\xff\xc2" in jpeg(67, 43, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
        assert b"\xff\xdd" in jpeg(67, 43, cv2.IMWRITE_JPEG_RST_INTERVAL, 2)
        turned = np.frombuffer(with_segment(jpeg(67, 43), 0xE1, EXIF_UPRIGHT_BY_TURNING), np.uint8)
        upright = cv2.imdecode(turned, cv2.IMREAD_COLOR)
        assert upright is not None
        assert upright.shape == (67, 43, 3)

    def test_a_picture_of_one_channel_becomes_three(self) -> None:
        ok, data = cv2.imencode(".jpg", pixels()[:, :, 0])
        assert ok
        assert decode_jpeg(data.tobytes()).shape == (48, 64, 3)


class TestRefusal:
    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"", "0 bytes that begin with nothing are no JPEG"),
            (b"\x89PNG\r\n\x1a\n", "8 bytes that begin with 89504e47 are no JPEG"),
            (b"\xff\xd8", "a JPEG of 2 bytes states no size: it is damaged or cut short"),
            (b"\xff\xd8\xff\xd9", "a JPEG of 4 bytes states no size: it is damaged or cut short"),
            (b"\xff\xd8" + b"\xff" * 100, "a JPEG of 102 bytes states no size"),
            (b"\xff\xd8" + b"\xff\xe0\0\0" * 100, "a JPEG of 402 bytes states no size"),
            (jpeg()[:100], "a JPEG of 100 bytes states no size"),
            (stating(jpeg(), 60000, 60000), f"a JPEG of 60000x60000 pixels is outside of the 1 to {MAX_PIXELS} that"),
            (stating(jpeg(), 0, 48), "a JPEG of 0x48 pixels is outside"),
            (stating(jpeg(), 64, 0), "a JPEG of 64x0 pixels is outside"),
        ],
    )
    def test_what_states_no_good_size_is_refused_at_once(self, data: bytes, reason: str) -> None:
        for refuse in (jpeg_size, decode_jpeg, lambda data: Image(jpeg=data)):
            with pytest.raises(DropMessage) as caught:
                refuse(data)
            assert reason in str(caught.value)

    @pytest.mark.parametrize("filling", [b"\xff", b"\xff\xe0\x00\x02"])
    def test_megabytes_of_headers_are_not_searched(self, filling: bytes) -> None:
        data = b"\xff\xd8" + filling * (16 << 20)
        begun_s = time.process_time()
        with pytest.raises(DropMessage, match="states no size"):
            jpeg_size(data)
        assert time.process_time() - begun_s < 1.0

    @pytest.mark.parametrize("size", [(8001, 8000), (65501, 1), (1, 65501), (0, 8)])
    def test_a_picture_that_others_would_refuse_is_told_apart(self, size: tuple[int, int]) -> None:
        width, height = size
        picture = Image(pixels=np.broadcast_to(np.zeros(3, np.uint8), (height, width, 3)))
        with pytest.raises(DropMessage, match=f"a picture of {width}x{height} pixels"):
            picture.check_size()

    @pytest.mark.parametrize("size", [(8000, 8000), (65500, 1), (1, 65500)])
    def test_a_picture_that_others_take_is_let_through(self, size: tuple[int, int]) -> None:
        width, height = size
        Image(pixels=np.broadcast_to(np.zeros(3, np.uint8), (height, width, 3))).check_size()

    def test_the_largest_picture_is_taken(self) -> None:
        assert jpeg_size(stating(jpeg(), 8000, 8000)) == (8000, 8000)
        with pytest.raises(DropMessage, match="8001x8000"):
            jpeg_size(stating(jpeg(), 8001, 8000))

    @pytest.mark.parametrize("kept", [0.5, 0.9])
    def test_a_jpeg_that_was_cut_short_has_no_pixels(self, kept: float) -> None:
        data = jpeg(320, 240)
        picture = Image(jpeg=data[: int(len(data) * kept)])
        for _ in range(2):
            with pytest.raises(DropMessage, match="cannot be decoded: it is damaged or cut short"):
                _ = picture.pixels
        with pytest.raises(DropMessage, match="damaged or cut short"):
            picture.pixels_at_least(16, 16)

    def test_an_error_of_opencv_is_translated(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise cv2.error("no memory")

        monkeypatch.setattr(cv2, "imdecode", fail)
        with pytest.raises(DropMessage, match="a JPEG of 64x48 pixels cannot be decoded"):
            decode_jpeg(jpeg())

    @pytest.mark.parametrize(("width", "height"), [(65501, 1), (1, 65501), (0, 0), (0, 8)])
    def test_pixels_that_fit_no_jpeg_are_refused(self, width: int, height: int) -> None:
        with pytest.raises(DropMessage, match=f"a picture of {width}x{height} pixels does not fit a JPEG"):
            encode_jpeg(np.zeros((height, width, 3), np.uint8), 90)

    def test_the_widest_picture_is_encoded(self) -> None:
        assert jpeg_size(encode_jpeg(np.zeros((1, 65500, 3), np.uint8), 90)) == (65500, 1)

    @settings(max_examples=300)
    @given(st.data())
    def test_damaged_jpegs_are_decoded_or_dropped(self, data: st.DataObject) -> None:
        damaged = bytearray(jpeg(24, 16))
        for at in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=4)):
            damaged[at] = data.draw(st.integers(0, 255))
        with contextlib.suppress(DropMessage):
            picture = Image(jpeg=bytes(damaged))
            assume(picture.width * picture.height < 1_000_000)  # larger ones take time and show nothing
            assert picture.pixels.shape == (picture.height, picture.width, 3)


def progressive(scans: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    ok, data = cv2.imencode(".jpg", np.zeros((32, 32, 3), np.uint8), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    assert ok
    whole = bytes(data.data)
    last = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + last * (scans - whole.count(b"\xff\xda")) + whole[-2:]


def test_a_picture_that_is_painted_over_and_over_is_refused_before_it_is_decoded() -> None:
    assert jpeg_size(progressive(MAX_SCANS)) == (32, 32)
    with pytest.raises(DropMessage, match=f"a JPEG with {MAX_SCANS + 1} scans has more than the {MAX_SCANS}"):
        Image(jpeg=progressive(MAX_SCANS + 1))


def test_after_a_scan_of_the_whole_picture_no_other_is_decoded() -> None:
    """So nobody need count them: in a picture like a camera's they would be searched for byte by byte."""
    whole = jpeg(64, 64)
    scan = whole[whole.index(b"\xff\xda") : -2]
    often = whole[:-2] + scan * 2000 + whole[-2:]
    assert jpeg_size(often) == (64, 64)
    begun_s = time.process_time()
    for _ in range(20):
        decode_jpeg(whole)
    once_s = (time.process_time() - begun_s) / 20
    begun_s = time.process_time()
    with contextlib.suppress(DropMessage):
        decode_jpeg(often)
    assert time.process_time() - begun_s < 200 * once_s


def test_the_scans_of_a_picture_whose_colours_have_one_each_are_counted() -> None:
    whole = jpeg(64, 64)
    at = whole.index(b"\xff\xda")
    one = whole[at : at + 4] + b"\x01" + whole[at + 5 : -2]
    assert jpeg_size(whole[:at] + one * MAX_SCANS + whole[-2:]) == (64, 64)
    with pytest.raises(DropMessage, match=f"a JPEG with {MAX_SCANS + 1} scans has more than the {MAX_SCANS}"):
        jpeg_size(whole[:at] + one * (MAX_SCANS + 1) + whole[-2:])


def test_scans_are_not_hidden_behind_what_only_looks_like_a_segment() -> None:
    """Of ``FF 00`` libjpeg skips two bytes alone; a length would lead past the headers, into a comment."""
    painted = progressive(MAX_SCANS + 1)
    scans = painted.index(b"\xff\xda")
    headers = painted[2:scans]
    decoy = b"\xff\xc0\x00\x11\x08\x00\x08\x00\x08\x03" + bytes(9) + b"\xff\xda\x00\x0c\x03" + bytes(16)
    padding = bytes(4 + int.from_bytes(headers[:2]) - len(painted[:2]) - 2 - len(headers) - 4)
    comment = b"\xff\xfe" + (2 + len(padding) + len(decoy)).to_bytes(2) + padding + decoy
    with pytest.raises(DropMessage):
        jpeg_size(painted[:2] + b"\xff\x00" + headers + comment + painted[scans:])
