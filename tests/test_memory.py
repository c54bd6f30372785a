"""Memory that goes from one large tensor to the next, and never to two at once."""

from __future__ import annotations

import threading
import weakref

import numpy as np
import pytest
import torch

from nerdrain_rt import memory

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _nothing_left() -> None:
    memory.recycled((1,), CPU)


def test_a_tensor_has_the_size_asked_for() -> None:
    tensor = memory.recycled((1, 3, 5, 7), CPU)
    assert (tensor.shape, tensor.dtype, tensor.is_contiguous()) == ((1, 3, 5, 7), torch.float32, True)


def test_the_next_tensor_of_about_a_size_lies_where_the_last_one_was() -> None:
    tensor = memory.recycled((3, 1088, 16), CPU)
    place = tensor.data_ptr()
    del tensor
    assert memory.recycled((3, 1080, 16), CPU).data_ptr() == place


def test_memory_that_a_view_still_uses_is_not_given_again() -> None:
    tensor = memory.recycled((4, 100), CPU).fill_(1)
    view = tensor[1:3]
    del tensor
    others = [memory.recycled((4, 100), CPU).fill_(2) for _ in range(3)]
    assert (view == 1).all()
    assert len({other.data_ptr() for other in others}) == 3


def test_memory_of_another_size_is_not_kept() -> None:
    tensor = memory.recycled((4, 100), CPU)
    del tensor
    small = memory.recycled((4, 10), CPU)
    assert small.untyped_storage().nbytes() == 160
    assert not memory._left.memory


def test_memory_goes_back_to_the_system_when_its_thread_ends(monkeypatch) -> None:
    made = []

    def empty(*arguments):
        array = np.ndarray.__new__(Traced, *arguments)
        made.append(weakref.ref(array))
        return array

    class Traced(np.ndarray):
        pass

    monkeypatch.setattr(memory.np, "empty", empty)
    tensors = []
    thread = threading.Thread(target=lambda: tensors.append(memory.recycled((4, 100), CPU)))
    thread.start()
    thread.join()
    (array,) = made
    assert array() is not None
    tensors.clear()
    assert array() is None
