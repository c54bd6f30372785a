import pytest
from nerdrain_gui.graphics import GraphicsLoad, graphics_load
from nerdrain_gui.words import graphics_in_words, source_in_words


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("/media/card/a b.mp4", "a b.mp4"),
        ("rtsp://me:secret@cam.local:554/stream1", "rtsp://me@cam.local:554/stream1"),
        ("udp://127.0.0.1:5000", "udp://127.0.0.1:5000"),
        ("srt://h:1?passphrase=secret&latency=9", "srt://h:1?passphrase=***&latency=9"),
        ("rtsp://me:se/cret@[", "rtsp://…"),
        ("test", "Test picture"),
        ("0", "0"),
    ],
)
def test_a_source_is_named_as_a_person_knows_it(name, words):
    assert source_in_words(name) == words


def test_a_graphics_card_is_told_of_with_what_is_known():
    assert graphics_in_words(GraphicsLoad(3 << 30, 24 << 30, 0.414)) == "41 %  ·  3.0 GB of 24.0 GB"
    assert graphics_in_words(GraphicsLoad(3 << 30, 24 << 30, None)) == "3.0 GB of 24.0 GB"


def test_a_processor_has_no_graphics_load():
    assert graphics_load("cpu") is None


def test_the_memory_is_told_of_where_the_card_cannot_be_asked(monkeypatch):
    from types import SimpleNamespace

    import torch

    def refuse(_: object) -> int:
        raise ModuleNotFoundError("nvidia-ml-py does not seem to be installed")

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=100))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 7)
    monkeypatch.setattr(torch.cuda, "device_memory_used", refuse)
    assert graphics_load("cuda:0") == GraphicsLoad(7, 100, None)
    monkeypatch.setattr(torch.cuda, "device_memory_used", lambda _: 30)
    monkeypatch.setattr(torch.cuda, "utilization", lambda _: 50)
    assert graphics_load("cuda:0") == GraphicsLoad(30, 100, 0.5)
