"""Topics are built and parsed in one place, and nothing else is taken for one of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DecodeError
from pipeline.model import process_name
from pipeline.topics import Kind, Topic, parse

NAMES = st.from_regex(r"[a-z0-9-]{1,63}", fullmatch=True).filter(lambda name: name not in {"workers", "stages"})
OF_A_STREAM = [kind for kind in Kind if kind not in {Kind.HARD, Kind.WORKERS, Kind.STAGES}]


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        (Topic("helmet", Kind.FRAMES, "gate"), "tandem/helmet/gate/frames"),
        (Topic("helmet", Kind.STORE, "gate"), "tandem/helmet/gate/store"),
        (Topic("helmet", Kind.HARD, "gate", "cloud-1"), "tandem/helmet/gate/hard/cloud-1"),
        (Topic("helmet", Kind.CLOUD_RESULTS, "gate"), "tandem/helmet/gate/results/cloud"),
        (Topic("helmet", Kind.RESULTS, "gate"), "tandem/helmet/gate/results"),
        (Topic("helmet", Kind.STATE, "gate"), "tandem/helmet/gate/state"),
        (Topic("helmet", Kind.WORKERS, name="cloud-1"), "tandem/helmet/workers/cloud-1"),
        (Topic("helmet", Kind.STAGES, name="edge-1"), "tandem/helmet/stages/edge-1"),
    ],
)
def test_a_topic_is_written_as_documented(topic: Topic, name: str) -> None:
    assert str(topic) == name
    assert parse(name) == topic


@given(NAMES, NAMES, st.sampled_from(OF_A_STREAM))
def test_every_topic_of_a_stream_is_parsed_back(service: str, stream: str, kind: Kind) -> None:
    topic = Topic(service, kind, stream)
    assert parse(str(topic)) == topic


@given(NAMES, NAMES, NAMES)
def test_every_topic_with_a_name_is_parsed_back(service: str, stream: str, name: str) -> None:
    for topic in (
        Topic(service, Kind.HARD, stream, name),
        Topic(service, Kind.WORKERS, name=name),
        Topic(service, Kind.STAGES, name=name),
    ):
        assert parse(str(topic)) == topic


def test_a_worker_may_be_called_as_a_kind() -> None:
    assert parse("tandem/results/frames/hard/hard") == Topic("results", Kind.HARD, "frames", "hard")
    assert parse("tandem/hard/hard/results/cloud") == Topic("hard", Kind.CLOUD_RESULTS, "hard")


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        ("", "it begins with '', not 'tandem'"),
        ("homeassistant/helmet/gate/frames", "it begins with 'homeassistant', not 'tandem'"),
        ("tandem", "'' is no name"),
        ("tandem/Helmet/gate/frames", "'Helmet' is no name"),
        ("tandem/helmet/north gate/frames", "'north gate' is no name"),
        ("tandem/helmet/gate", "'' is not a valid Kind"),
        ("tandem/helmet/gate/", "'' is not a valid Kind"),
        ("tandem/helmet/gate/pictures", "'pictures' is not a valid Kind"),
        ("tandem/helmet/gate/frames/", "'frames/' is not a valid Kind"),
        ("tandem/helmet/gate/results/edge", "'results/edge' is not a valid Kind"),
        ("tandem/helmet/gate/hard", "hard wants a name behind it"),
        ("tandem/helmet/gate/hard/", "'' is no name"),
        ("tandem/helmet/gate/hard/a/b", "'a/b' is no name"),
        ("tandem/helmet/gate/workers", "workers wants a name behind it"),
        ("tandem/helmet/workers", "'' is no name"),
        ("tandem/helmet/workers/stages", "'stages' is reserved"),
        ("tandem/helmet/stages/a/b", "'a/b' is no name"),
        ("tandem/workers/gate/frames", "'workers' is reserved"),
        ("tandem/helmet/+/frames", "'+' is no name"),
        ("tandem/helmet/gate/frames\n", "'frames\\n' is not a valid Kind"),
        ("tandem/helmet/gate\n/frames", "'gate\\n' is no name"),
    ],
)
def test_other_topics_are_refused_by_name(topic: str, reason: str) -> None:
    with pytest.raises(DecodeError) as caught:
        parse(topic)
    assert str(caught.value).startswith(f"{topic}: is no topic of Tandem: ")
    assert reason in caught.value.reason
    assert caught.value.topic == topic


@given(st.text() | st.lists(st.sampled_from(["tandem", "a", "hard", "results", "cloud", "+", "#", ""])).map("/".join))
def test_any_text_is_a_topic_or_a_decode_error(text: str) -> None:
    try:
        topic = parse(text)
    except DecodeError:
        return
    assert str(topic) == text


@pytest.mark.parametrize("kind", OF_A_STREAM)
def test_no_process_has_a_topic_that_looks_like_one_of_a_stream(kind: Kind) -> None:
    """A bridge with ``tandem/+/+/state`` up and ``tandem/+/workers/+`` down would send ``workers/state`` round."""
    word = kind.value.partition("/")[0]
    with pytest.raises(ValueError, match=f"'{word}' is what a stream's topic ends with.*'{word}-1'"):
        process_name(word)
    assert process_name(f"{word}-1") == f"{word}-1"
