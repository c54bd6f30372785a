from nerdrain_gui.controls import push_button
from nerdrain_gui.icons import icon
from PyQt6.QtCore import QSize


def test_icons_are_drawn_in_the_pixels_of_the_screen(app):
    pixmap = icon("sun").pixmap(QSize(24, 24), 2.0)
    assert (pixmap.size(), pixmap.devicePixelRatio()) == (QSize(48, 48), 2.0)


def test_an_icon_beside_words_is_square_and_leaves_room(app):
    image = icon("open").pixmap(push_button("open", "Open", "Open a file").iconSize(), 1.0).toImage()
    right = [image.pixelColor(x, y).alpha() for x in range(17, 20) for y in range(16)]
    assert image.width() == 20
    assert set(right) == {0}
    assert any(image.pixelColor(x, y).alpha() for x in range(16) for y in range(16))
