"""Video sources: addresses, sampling, files, folders and cameras."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError, SourceError
from pipeline.model import stream_name
from stages.source import Ended, Passed, Picture, VideoSource, Wanted, every_frame
from stages.sources import live
from stages.sources.address import SourceAddress, SourceKind, parse_source, stream_names
from stages.sources.capture import open_camera
from stages.sources.factory import check_source, make_source
from stages.sources.file import FileSource
from stages.sources.folder import FolderSource, natural_order
from stages.sources.live import LiveSource
from stages.sources.sampling import AtRate, Every, Sampling

EVERY = Every(1)


def pixels(value: int = 0, height: int = 48, width: int = 64) -> Any:
    return np.full((height, width, 3), value, np.uint8)


def write_video(path: Path, frames: int, fps: float = 10) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (64, 48))
    for number in range(frames):
        writer.write(pixels(number * 2))
    writer.release()
    return path


def read_all(source: VideoSource, wanted: Wanted = every_frame) -> tuple[list[Picture], Passed, Ended]:
    source.open(1, wanted)
    pictures, passed = [], Passed()
    while True:
        match source.read():
            case Picture() as picture:
                pictures.append(picture)
                passed += picture.passed
            case Passed() as more:
                passed += more
            case Ended() as ended:
                source.close()
                return pictures, passed + ended.passed, ended
            case None:
                pytest.fail("a file has its next picture at once")


# Addresses


@pytest.mark.parametrize(
    ("text", "kind", "location"),
    [
        ("file://data/video/video.mp4", SourceKind.LOCAL, "/data/video/video.mp4"),
        ("file:///data/video/video.mp4", SourceKind.LOCAL, "/data/video/video.mp4"),
        ("file://localhost/data/v.mp4", SourceKind.LOCAL, "/data/v.mp4"),
        ("file:///a%20b/c%23d.mp4", SourceKind.LOCAL, "/a b/c#d.mp4"),
        ("FILE:///a.mp4", SourceKind.LOCAL, "/a.mp4"),
        ("/clips/a.mp4", SourceKind.LOCAL, "/clips/a.mp4"),
        ("0", SourceKind.CAMERA_INDEX, "0"),
        ("01", SourceKind.CAMERA_INDEX, "1"),
        ("rtsp://cam/stream.mp4", SourceKind.CAMERA_URL, "rtsp://cam/stream.mp4"),
        ("http://cam/mjpeg", SourceKind.CAMERA_URL, "http://cam/mjpeg"),
        ("https://site/a.MP4?x=1", SourceKind.REMOTE_FILE, "https://site/a.MP4?x=1"),
    ],
)
def test_an_address_is_parsed(text: str, kind: SourceKind, location: str) -> None:
    address = parse_source(text)
    assert (address.kind, address.location) == (kind, location)


def test_a_relative_path_becomes_absolute_and_keeps_its_name() -> None:
    address = parse_source("clips/a:b.mp4")
    assert address == SourceAddress(SourceKind.LOCAL, str(Path.cwd() / "clips/a:b.mp4"), "clips/a:b.mp4")


def test_a_password_is_not_in_the_name() -> None:
    address = parse_source("rtsp://me:secret@cam:554/live?token=secret")
    assert address.name == "rtsp://cam:554/live"
    assert "secret" in address.location


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("rtsp://me:12/secret@cam:554/live", "rtsp://cam:554/live"),
        ("rtsp://me:p@secret/2@cam/live", "rtsp://cam/live"),
        ("RTSP://me:#secret@cam/live", "rtsp://cam/live"),
        ("http://me:?secret@cam/a.mp4", "http://cam/a.mp4"),
        ("rtsp://cam/live@main?mail=a@b", "rtsp://cam/live@main"),
    ],
)
def test_nothing_of_a_password_is_in_the_name_though_it_is_not_escaped(text: str, name: str) -> None:
    assert parse_source(text).name == name
    assert "secret" not in stream_names([parse_source(text)])[0]


@pytest.mark.parametrize("text", ["rtsp://me:se/cret@cam/x", "http://me:se?cret@cam/a.mp4", "rtsp://[me:se/cret@cam"])
def test_a_password_that_makes_a_url_wrong_is_not_in_the_error(text: str) -> None:
    with pytest.raises(ConfigError, match=r"video: '(rtsp|http)://cam[/.a-z0-9]*' ") as error:
        parse_source(text)
    assert "cret" not in str(error.value)
    assert error.value.__suppress_context__  # a traceback would show what is behind it


@pytest.mark.parametrize("text", ["", "  ", "a\0b", "http://[x", "rtsp:///x", "rtsp://cam:99999/x"])
def test_no_source_is_an_error_that_names_the_field(text: str) -> None:
    with pytest.raises(ConfigError, match=r"streams\.gate\.source: "):
        parse_source(text, "streams.gate.source")


def test_a_name_that_no_message_can_carry_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"video: the name 'caf\?\.mp4' is no UTF-8, .*; rename it"):
        parse_source("caf\udce9.mp4")


def test_stream_names_are_those_of_files_and_hosts() -> None:
    texts = [
        "a/site-360p.mp4",
        "b/site-360p.avi",
        "rtsp://u:p@Cam_7/",
        "2",
        "Gärten & Höfe.mp4",
        "photos/v1.2",
        "/workers",
    ]
    names = stream_names(parse_source(text) for text in texts)
    assert names == ["site-360p", "site-360p-2", "cam-7", "camera-2", "garten-hofe", "v1-2", "workers-2"]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=90), max_size=6))
def test_stream_names_are_valid_and_unique(texts: list[str]) -> None:
    names = stream_names(SourceAddress(SourceKind.LOCAL, text, text) for text in texts)
    assert len(set(names)) == len(texts)
    for name in names:
        stream_name(name)


# Sampling


def test_every_tenth_is_1_11_21() -> None:
    assert [seq for seq in range(1, 32) if Every(10).takes(seq, 25)] == [1, 11, 21, 31]


@pytest.mark.parametrize(("fps", "source_fps", "taken"), [(5, 25, 50), (25, 25, 250), (60, 25, 250), (0.1, 25, 1)])
def test_a_rate_takes_as_many_frames_a_second(fps: float, source_fps: float, taken: int) -> None:
    assert sum(AtRate(fps).takes(seq, source_fps) for seq in range(1, 251)) == taken


@given(st.floats(0.05, 100), st.floats(1, 100), st.integers(2, 3000))
def test_a_rate_is_kept_on_average(fps: float, source_fps: float, frames: int) -> None:
    taken = [seq for seq in range(1, frames + 1) if AtRate(fps).takes(seq, source_fps)]
    assert taken[0] == 1
    assert abs(len(taken) - min(1, fps / source_fps) * frames) <= 1


@pytest.mark.parametrize("make", [lambda: Every(0), lambda: AtRate(0), lambda: AtRate(float("nan"))])
def test_a_sampling_that_takes_nothing_is_refused(make: Callable[[], Sampling]) -> None:
    with pytest.raises(ValueError, match="no sampling"):
        make()


# Files


def test_a_file_gives_its_sampled_frames_and_ends(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", 35)
    pictures, passed, ended = read_all(FileSource(str(path), Every(10), wall_ns=lambda: 7))
    assert [picture.seq for picture in pictures] == [1, 11, 21, 31]
    assert [picture.media_s for picture in pictures] == pytest.approx([0, 1, 2, 3])
    assert [picture.passed.skipped for picture in pictures] == [0, 9, 9, 9]
    assert passed == Passed(skipped=31)
    assert ended == Ended(Passed(skipped=4), "")
    assert pictures[2].captured_ns == 7
    assert abs(int(pictures[2].image.pixels.mean()) - 40) < 6


def test_frames_that_are_done_are_counted_and_not_read_again(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", 35)
    whole, _, _ = read_all(FileSource(str(path), Every(10)))
    rest, passed, _ = read_all(FileSource(str(path), Every(10)), lambda seq: seq > 15)
    assert [picture.seq for picture in rest] == [21, 31]
    assert passed == Passed(skipped=31, done=2)
    assert np.array_equal(rest[0].image.pixels, whole[2].image.pixels)


def test_a_file_goes_on_at_a_frame_and_does_not_count_those_before_it_again(tmp_path: Path) -> None:
    source = FileSource(str(write_video(tmp_path / "clip.mp4", 35)), Every(10))
    source.open(12)
    picture = source.read()
    assert isinstance(picture, Picture)
    assert (picture.seq, picture.passed) == (21, Passed(skipped=9))
    assert picture.media_s == pytest.approx(2.0)
    source.close()


def test_a_long_gap_is_told_in_pieces(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", 100)
    source = FileSource(str(path), Every(99))
    source.open()
    assert isinstance(source.read(), Picture)
    assert source.read() == Passed(skipped=64)
    last = source.read()
    assert isinstance(last, Picture)
    assert (last.seq, last.passed) == (100, Passed(skipped=34))
    assert source.read() == Ended(Passed(), "")
    source.close()


def test_a_file_can_be_opened_again(tmp_path: Path) -> None:
    source = FileSource(str(write_video(tmp_path / "clip.mp4", 5)), EVERY)
    assert [len(read_all(source)[0]) for _ in range(2)] == [5, 5]
    assert isinstance(source.read(), Ended)


def test_a_file_cut_short_says_how_much_was_read(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.avi", 100)
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    pictures, _, ended = read_all(FileSource(str(cut), EVERY, name="cut.avi"))
    assert 20 < len(pictures) < 80
    assert ended.note.startswith(f"cut.avi is cut short or damaged: {len(pictures)} of the 100 frames that it states")
    assert read_all(FileSource(str(whole), EVERY))[2].note == ""


class Stated:
    """A capture of ``frames`` frames that states what it likes."""

    def __init__(self, frames: int, states: dict[int, float], every_s: float = 0.1) -> None:
        self.left, self.states, self.every_s, self.grabbed = frames, states, every_s, 0
        self.released = False

    def grab(self) -> bool:
        self.grabbed += self.left > 0
        self.left -= 1
        return self.left >= 0

    def retrieve(self) -> tuple[bool, Any]:
        return (False, None) if self.grabbed == 2 else (True, pixels())

    def get(self, prop: int, /) -> float:
        if prop == cv2.CAP_PROP_POS_MSEC:
            return (self.grabbed - 1) * self.every_s * 1000 if self.left >= 0 else 0.0
        return self.states.get(prop, 0.0)

    def release(self) -> None:
        self.released = True


def stated(tmp_path: Path, capture: Stated) -> FileSource:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"x")
    return FileSource(str(path), EVERY, connect=lambda _: capture)


def test_a_container_that_counts_double_is_not_called_damaged(tmp_path: Path) -> None:
    capture = Stated(50, {cv2.CAP_PROP_FPS: 20, cv2.CAP_PROP_FRAME_COUNT: 100})
    assert read_all(stated(tmp_path, capture))[2].note == ""
    assert capture.released


class Holed(Stated):
    """A capture whose frames after the twentieth come 3 s late, as of a file with a hole."""

    def get(self, prop: int, /) -> float:
        late_ms = 3000 * (prop == cv2.CAP_PROP_POS_MSEC and self.grabbed > 20)
        return super().get(prop) + late_ms


def test_a_file_with_a_hole_in_the_middle_says_where(tmp_path: Path) -> None:
    source = stated(tmp_path, Holed(50, {cv2.CAP_PROP_FPS: 10, cv2.CAP_PROP_FRAME_COUNT: 80}))
    source.name = "hole.mkv"
    assert read_all(source)[2].note == (
        "hole.mkv has a gap without frames, 3.1 s in all, the longest 3.1 s from 1.9 s on; "
        "copy it anew if it should have none"
    )


def test_a_video_of_variable_rate_is_not_called_damaged(tmp_path: Path) -> None:
    capture = Stated(50, {cv2.CAP_PROP_FPS: 50, cv2.CAP_PROP_FRAME_COUNT: 240})
    assert read_all(stated(tmp_path, capture))[2].note == ""


def test_a_file_without_a_frame_rate_is_noted(tmp_path: Path) -> None:
    pictures, _, ended = read_all(stated(tmp_path, Stated(26, {cv2.CAP_PROP_FPS: 0.0})))
    assert pictures[-1].media_s == 1.0
    assert "states no frame rate: 25 frames per second are assumed" in ended.note


def test_a_frame_that_cannot_be_decoded_is_skipped(tmp_path: Path) -> None:
    pictures, passed, _ = read_all(stated(tmp_path, Stated(4, {cv2.CAP_PROP_FPS: 10})))
    assert [picture.seq for picture in pictures] == [1, 3, 4]
    assert passed == Passed(skipped=1)


def test_a_bad_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("hello\n" * 100)
    whole = write_video(tmp_path / "whole.mp4", 50).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    for name, text in {
        "missing.mp4": r"missing\.mp4 does not exist; check the path",
        "empty.mp4": r"empty\.mp4 is empty \(0 bytes\); copy or record it anew",
        "text.mp4": r"text\.mp4 is no video that can be read: .* convert it with: ffmpeg",
        "cut.mp4": r"cut\.mp4 is no video that can be read: it is damaged",
        "text.mp4/inner.mp4": r"inner\.mp4 cannot be read \(Not a directory\)",
    }.items():
        with pytest.raises(SourceError, match=text):
            check_source(make_source(parse_source(str(tmp_path / name)), EVERY))


def test_opencv_and_ffmpeg_write_nothing_of_their_own(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4", 50).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    code = (
        "import sys\n"
        "from pipeline.errors import SourceError\n"
        "from stages.sources.file import FileSource\n"
        "from stages.sources.sampling import Every\n"
        "try: FileSource(sys.argv[1], Every(1)).open()\n"
        "except SourceError: print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "cut.mp4"], capture_output=True, text=True, check=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("refused\n", "")


def test_a_real_clip_gives_every_tenth_frame(shared: Path) -> None:
    address = parse_source(str(shared / "video" / "site-360p.mp4"))
    pictures, passed, ended = read_all(make_source(address, Every(10)))
    assert [picture.seq for picture in pictures] == list(range(1, 336, 10))
    assert len(pictures) + passed.count == 335
    assert ended.note == ""
    assert pictures[0].image.pixels.shape == (360, 640, 3)


# Folders


def write_jpeg(path: Path, image: Any, *, upright: bool = False) -> bytes:
    """A JPEG; with ``upright``, one whose EXIF says that it must be turned by 90 degrees."""
    data: bytes = cv2.imencode(".jpg", image)[1].tobytes()
    if upright:
        tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
        exif = b"Exif\0\0" + tiff
        data = data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2) + exif + data[2:]
    path.write_bytes(data)
    return data


def test_a_folder_is_read_in_natural_order_and_jpegs_keep_their_bytes(tmp_path: Path) -> None:
    numbers = (1, 2, 10)
    data = {number: write_jpeg(tmp_path / f"frame{number}.jpg", pixels(number * 9)) for number in numbers}
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.jpg").write_bytes(b"no picture")
    pictures, passed, ended = read_all(make_source(parse_source(str(tmp_path)), EVERY))
    assert [picture.image.jpeg for picture in pictures] == [data[number] for number in numbers]
    assert (passed, ended.note) == (Passed(), "")
    assert [picture.media_s for picture in pictures] == pytest.approx([0, 0.04, 0.08])


def test_natural_order() -> None:
    names = ["b1.jpg", "a10.jpg", "A2.jpg", "a2b.jpg", "10.jpg", "9.jpg"]
    ordered = sorted((Path(name) for name in names), key=natural_order)
    assert [path.name for path in ordered] == ["9.jpg", "10.jpg", "A2.jpg", "a2b.jpg", "a10.jpg", "b1.jpg"]


def test_an_unreadable_picture_is_skipped_and_counted(tmp_path: Path) -> None:
    write_jpeg(tmp_path / "1.jpg", pixels())
    (tmp_path / "2.jpg").write_bytes(b"")
    (tmp_path / "3.png").write_bytes(b"no picture")
    (tmp_path / "4.jpg").mkdir()
    cv2.imwrite(str(tmp_path / "5.png"), pixels(9))
    source = FolderSource(str(tmp_path), EVERY, name="photos")
    pictures, passed, ended = read_all(source)
    assert [picture.seq for picture in pictures] == [1, 5]
    assert passed == Passed(skipped=3)
    assert ended.note.startswith("photos has 3 pictures that cannot be read, the first one: 2.jpg (it is empty")
    assert read_all(source, lambda seq: seq == 2)[2].note.startswith("photos has a picture that cannot be read: 2.jpg")
    assert (pictures[1].image.pixels == 9).all()


def test_a_folder_is_sampled_and_resumed(tmp_path: Path) -> None:
    for number in range(1, 8):
        write_jpeg(tmp_path / f"{number}.jpg", pixels())
    pictures, passed, _ = read_all(FolderSource(str(tmp_path), Every(3)), lambda seq: seq != 4)
    assert [picture.seq for picture in pictures] == [1, 7]
    assert passed == Passed(skipped=4, done=1)


def test_an_upright_picture_has_the_size_of_its_pixels(tmp_path: Path) -> None:
    write_jpeg(tmp_path / "1.jpg", pixels(50, 48, 64), upright=True)
    (picture,), _, _ = read_all(FolderSource(str(tmp_path), EVERY))
    image = picture.image
    assert image.pixels.shape == (64, 48, 3)
    assert (image.height, image.width) == (64, 48)
    assert cv2.imdecode(np.frombuffer(image.jpeg, np.uint8), cv2.IMREAD_COLOR).shape == (64, 48, 3)


def test_a_folder_without_pictures_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"is a folder without pictures \(.*\.webp\); put some there"):
        check_source(make_source(parse_source(str(tmp_path)), EVERY))
    with pytest.raises(SourceError, match=r"nowhere does not exist; check the path"):
        check_source(make_source(parse_source(str(tmp_path / "nowhere")), EVERY))


# Cameras


class Camera:
    """A camera whose frames come when the test lets them, each of one grey."""

    def __init__(self, fps: float = 10) -> None:
        self.fps = fps
        self.frames = threading.Semaphore(0)
        self.taken_in = threading.Semaphore(0)
        self.lost = False
        self.grabbed = 0
        self.released = threading.Event()

    def grab(self) -> bool:
        self.taken_in.release()
        assert self.frames.acquire(timeout=60)
        self.grabbed += 1
        return not self.lost

    def retrieve(self) -> tuple[bool, Any]:
        return True, pixels(self.grabbed)

    def get(self, prop: int, /) -> float:
        return self.fps

    def release(self) -> None:
        self.released.set()

    def give(self, count: int) -> None:
        """Let ``count`` frames come, and wait until the source has taken them in and asks for the next."""
        if self.grabbed == 0:
            assert self.taken_in.acquire(timeout=60)
        for _ in range(count):
            self.frames.release()
            assert self.taken_in.acquire(timeout=60)

    def lose(self) -> None:
        self.lost = True
        self.frames.release()
        assert self.released.wait(60)


def test_a_camera_keeps_the_newest_sampled_frame_and_counts_the_others() -> None:
    camera, now_s = Camera(), [100.0]
    source = LiveSource(lambda: camera, Every(2), name="gate", wall_ns=lambda: 5, clock=lambda: now_s[0])
    source.open(1)
    camera.give(6)
    now_s[0] += 2
    picture = source.read()
    assert isinstance(picture, Picture)
    assert (picture.seq, picture.passed) == (5, Passed(skipped=2, dropped=2))
    assert (picture.age_s, picture.captured_ns, picture.media_s) == (2.0, 5, pytest.approx(0.4))
    assert (picture.image.pixels == 5).all()
    assert source.read() is None
    camera.give(1)
    second = source.read()
    assert isinstance(second, Picture)
    assert (second.seq, second.passed) == (7, Passed(skipped=1))
    camera.lose()
    source.close()


def test_a_lost_camera_is_an_error_after_all_that_it_counted_and_its_numbers_go_on() -> None:
    cameras = [Camera(), Camera()]
    queue = iter(cameras)
    source = LiveSource(lambda: next(queue), Every(3), name="rtsp://gate")
    source.open(7)
    cameras[0].give(2)
    picture = source.read()
    assert isinstance(picture, Picture)
    assert (picture.seq, picture.passed) == (7, Passed())
    cameras[0].lose()
    assert source.read() == Passed(skipped=1)
    with pytest.raises(SourceError, match=r"rtsp://gate has ended its stream; it is opened again"):
        source.read()
    source.open(9)
    cameras[1].give(2)
    picture = source.read()
    assert isinstance(picture, Picture)
    assert (picture.seq, picture.passed) == (10, Passed(skipped=1))
    cameras[1].lose()
    source.close()


def test_the_last_picture_of_a_lost_camera_is_still_read() -> None:
    camera = Camera()
    source = LiveSource(lambda: camera, EVERY, name="gate")
    source.open(1)
    camera.give(1)
    camera.lose()
    assert isinstance(source.read(), Picture)
    with pytest.raises(SourceError):
        source.read()


def test_a_camera_that_cannot_be_reached_is_named() -> None:
    tried = threading.Event()

    def connect() -> Camera:
        tried.set()
        raise SourceError("refuses connections; check the port")

    source = LiveSource(connect, EVERY, name="rtsp://gate")
    source.open(1)
    assert tried.wait(60)
    assert source._grabber is not None
    source._grabber.join(60)
    with pytest.raises(SourceError, match=r"rtsp://gate refuses connections; check the port"):
        source.read()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_while_a_camera_is_read_does_not_leave_the_reader_waiting() -> None:
    def connect() -> Camera:
        raise MemoryError

    source = LiveSource(connect, EVERY, name="rtsp://gate")
    source.open(1)
    assert source._grabber is not None
    source._grabber.join(60)
    with pytest.raises(SourceError, match="rtsp://gate is read no more"):
        source.read()


def test_a_closed_camera_is_let_go() -> None:
    camera = Camera()
    source = LiveSource(lambda: camera, EVERY, name="gate")
    source.open(1)
    camera.give(1)
    for _ in range(2):
        camera.frames.release()
    source.close()
    assert camera.released.wait(60)
    with pytest.raises(SourceError, match="not open"):
        source.read()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("63", "camera 63 is not there: this machine has no /dev/video63; plug it in"),
        ("rtsp://me:secret@127.0.0.1:1/none", "rtsp://127.0.0.1:1/none refuses connections; check that it is on"),
        ("http://no-such-host.invalid/cam", "is not found: there is no such host; correct the"),
    ],
)
def test_an_absent_camera_is_an_error_that_names_it_and_the_remedy(text: str, said: str) -> None:
    source = make_source(parse_source(text), EVERY)
    assert source.live
    check_source(source)
    source.open(1)
    assert isinstance(source, LiveSource)
    assert source._grabber is not None
    source._grabber.join(60)
    with pytest.raises(SourceError) as caught:
        source.read()
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)
    source.close()


def test_a_usb_camera_that_is_there_and_no_camera_is_named(tmp_path: Path) -> None:
    (tmp_path / "video63").touch()
    with pytest.raises(SourceError, match=r"gives no video \(.*video63\); check that no other program uses it"):
        open_camera(63, tmp_path)


class Hanging(Camera):
    """A camera whose frame does not come, and which heeds no time-out."""

    def grab(self) -> bool:
        self.taken_in.release()
        self.frames.acquire()
        return False


def test_a_camera_that_hangs_is_given_up_and_opened_anew_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_JOIN_S", 0.01)
    now_s, cameras = [0.0], [Hanging() for _ in range(3)]
    queue = iter(cameras)
    source = LiveSource(lambda: next(queue), EVERY, name="gate", clock=lambda: now_s[0])
    for camera in cameras:
        source.open(1)
        assert camera.taken_in.acquire(timeout=60)
        assert source.read() is None
        now_s[0] += 61
        with pytest.raises(SourceError, match="gate hangs: no answer for 60 s; check it and its driver"):
            source.read()
        source.close()
    with pytest.raises(
        SourceError, match=r"gate hangs: 3 tries to read it have not come back; .* restart this process"
    ):
        source.open(1)
    cameras[0].frames.release()
    source._hung._threads[0].join(60)
    source._hung.check("gate")  # there is room again
    for camera in cameras[1:]:
        camera.frames.release()
        assert camera.released.wait(60)
