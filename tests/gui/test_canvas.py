from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import av
import numpy as np
import pytest
from nerdrain_gui.canvas import Canvas
from nerdrain_gui.picture import Wanted, make_picture, upright
from PyQt6.QtCore import QPoint, QPointF, Qt
from PyQt6.QtGui import QColor
from PyQt6.QtTest import QTest

from tests import clips

RED, BLUE = (200, 0, 0), (0, 0, 200)


def frame(rgb, size=(90, 160), pixel_format="rgb24"):
    samples = np.broadcast_to(np.array(rgb, np.uint8), (*size, 3)).copy()
    return av.VideoFrame.from_ndarray(samples, format="rgb24").reformat(format=pixel_format, threads=1)


@pytest.fixture
def canvas(app):
    canvas = Canvas()
    canvas.resize(320, 180)
    canvas.show()
    canvas.wanted_changed.connect(lambda wanted: show(canvas, wanted))
    show(canvas, canvas.wanted)
    yield canvas
    canvas.close()


def show(canvas, wanted):
    canvas.show_picture(make_picture(frame(RED), frame(BLUE), wanted))


def color_at(canvas, x, y):
    color: QColor = canvas.grab().toImage().pixelColor(x, y)
    return color.red(), color.green(), color.blue()


def test_wipe_shows_rainy_left_and_clean_right(canvas):
    assert color_at(canvas, 100, 130) == pytest.approx(RED, abs=3)
    assert color_at(canvas, 220, 130) == pytest.approx(BLUE, abs=3)


def test_dragging_the_handle_moves_the_border(canvas):
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=QPoint(160, 60))
    QTest.mouseMove(canvas, QPoint(200, 60))
    QTest.mouseMove(canvas, QPoint(240, 60))
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=QPoint(240, 60))
    assert canvas.wipe == pytest.approx(0.75)
    assert color_at(canvas, 220, 130) == pytest.approx(RED, abs=3)
    QTest.mouseMove(canvas, QPoint(20, 60))
    assert canvas.wipe == pytest.approx(0.75)


def test_handle_stays_inside_the_picture(canvas):
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=QPoint(160, 60))
    QTest.mouseMove(canvas, QPoint(-500, 60))
    assert canvas.wipe == 0.0


@pytest.mark.parametrize(("view", "left", "right"), [("side", RED, BLUE), ("clean", BLUE, BLUE)])
def test_views_show_what_they_say(canvas, view, left, right):
    canvas.set_view(view)
    assert color_at(canvas, 90, 90) == pytest.approx(left, abs=3)
    assert color_at(canvas, 250, 90) == pytest.approx(right, abs=3)


def test_removed_rain_is_shown_amplified():
    picture = make_picture(frame((50, 50, 50)), frame((40, 40, 40)), Wanted("removed", (90, 160)))
    assert picture.images[0].pixelColor(80, 45).red() == pytest.approx(40, abs=1)


def test_zoom_keeps_the_point_under_the_pointer(canvas):
    point = QPointF(80, 45)
    before = canvas._whole(canvas._panes()[0])
    share = (point.x() - before.x()) / before.width()
    canvas.set_zoom(4.0, point)
    after = canvas._whole(canvas._panes()[0])
    assert (point.x() - after.x()) / after.width() == pytest.approx(share, abs=0.01)
    canvas.set_zoom(0.1)
    assert canvas.zoom == 1.0
    assert canvas.picture_rect().width() == pytest.approx(320)


def test_panning_stops_at_the_border_of_the_picture(canvas):
    canvas.set_view("clean")
    canvas.set_zoom(2.0)
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=QPoint(20, 20))
    QTest.mouseMove(canvas, QPoint(2000, 2000))
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=QPoint(300, 170))
    whole = canvas._whole(canvas._panes()[0])
    assert (whole.left(), whole.top()) == pytest.approx((0, 0), abs=1)


def test_pictures_are_asked_for_at_the_size_they_are_shown_at(canvas):
    asked = []
    canvas.wanted_changed.connect(asked.append)
    canvas.resize(480, 400)
    assert asked[-1].pixels == (270, 480)


@pytest.mark.parametrize(("rotation", "size"), [(0, (90, 160)), (90, (160, 90)), (180, (90, 160)), (270, (160, 90))])
def test_turned_pictures_are_shown_upright(rotation, size):
    samples = np.zeros((90, 160, 3), np.uint8)
    samples[:, :40] = 255
    stored = av.VideoFrame.from_ndarray(samples, format="rgb24")
    picture = make_picture(stored, stored, Wanted("clean", size), rotation)
    image = picture.images[0]
    assert picture.size == size == (image.height(), image.width())
    bright = {0: (5, 45), 90: (45, 155), 180: (155, 45), 270: (45, 5)}[rotation]
    assert image.pixelColor(*bright).red() > 250
    assert image.pixelColor(image.width() // 2, image.height() // 2).red() < 5


@pytest.mark.parametrize(("rotation", "size"), [(0, (90, 240)), (90, (240, 90))])
def test_pictures_are_shown_with_square_samples(rotation, size):
    stored = frame(RED)
    picture = make_picture(stored, stored, Wanted("clean", size), rotation, Fraction(3, 2))
    image = picture.images[0]
    assert picture.size == size == (image.height(), image.width())


def test_pictures_are_never_larger_than_the_source():
    picture = make_picture(frame(RED), frame(BLUE), Wanted("wipe", (2000, 4000)))
    assert (picture.images[0].height(), picture.images[0].width()) == (90, 160)


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p10le", "yuvj420p", "nv12", "gray", "rgb24"])
def test_every_pixel_format_can_be_shown(pixel_format):
    picture = make_picture(
        frame((90, 90, 90), pixel_format=pixel_format),
        frame((90, 90, 90), pixel_format=pixel_format),
        Wanted("wipe", (45, 80)),
    )
    assert picture.images[1].pixelColor(40, 20).green() == pytest.approx(90, abs=4)


def test_a_frame_is_converted_in_several_threads_at_once():
    frame = clips.picture(1, (360, 640), "yuv444p")
    sizes = [(360, 640), (90, 160), (180, 320)] * 40
    alone = {size: upright(frame, size, 0) for size in sizes}
    with ThreadPoolExecutor(4) as pool:
        for size, samples in zip(sizes, pool.map(lambda size: upright(frame, size, 0), sizes), strict=True):
            assert (samples == alone[size]).all()
