"""Which device is picked, and what must not be done on some of them."""

import ctypes
import platform

import pytest
import torch

from train_core import device as module
from train_core.device import (
    free_unused_memory,
    has_bf16,
    has_float64,
    pick_device,
    place_images,
)
from train_core.engine.buffers import network_on
from train_core.images import channel_statistics
from train_core.networks import NetworkShape

MPS = torch.device("mps")


@pytest.mark.parametrize(
    ("here", "wanted", "kind"),
    [
        (["cpu"], "auto", "cpu"),
        (["mps", "cpu"], "auto", "mps"),
        (["mps", "cpu"], "cpu", "cpu"),
    ],
)
def test_the_best_device_is_picked_unless_one_is_named(monkeypatch, here, wanted, kind) -> None:
    monkeypatch.setattr(module, "_devices", lambda: here)
    assert pick_device(3, wanted) == torch.device(kind)


def test_a_device_that_is_not_there_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(module, "_devices", lambda: ["mps", "cpu"])
    with pytest.raises(ValueError, match="must be auto or one of mps, cpu.*but got 'cuda'"):
        pick_device(0, "cuda")


def test_an_apple_gpu_gets_no_double_precision_and_no_bfloat16(monkeypatch) -> None:
    assert not has_float64(MPS)
    assert not has_bf16(MPS)
    shape = NetworkShape.of("convnet", {"width": 4, "depth": 1}, 3)
    # There is none here: what it would be given is looked at on a device without storage.
    monkeypatch.setattr("train_core.engine.buffers.has_float64", lambda device: False)
    network = network_on(shape, torch.device("meta"))
    assert {t.dtype for t in [*network.parameters(), *network.buffers()]} <= {
        torch.float32,
        torch.int64,
    }


def test_statistics_are_the_same_where_double_precision_is_elsewhere(data, monkeypatch) -> None:
    here = channel_statistics(data.train.images)
    monkeypatch.setattr("train_core.images.has_float64", lambda device: False)
    for mine, other in zip(here, channel_statistics(data.train.images), strict=True):
        assert torch.equal(mine, other)


def test_no_library_is_asked_for_by_no_name_where_there_is_no_glibc(monkeypatch) -> None:
    def refuse(name) -> None:
        raise TypeError("bad argument type")  # As on Windows.

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    module.keep_freed_memory()


def test_a_device_without_a_cache_has_nothing_to_give_back() -> None:
    free_unused_memory(torch.device("cpu"))


@pytest.mark.parametrize(
    ("size", "workers", "wanted", "expected"),
    [
        (3e9, None, "auto", ("device", "3.0 GB in memory")),
        (3e9, 2, "auto", (
            "cache", "3.0 GB read from the cache while networks train: more than half of the "
            "4.0 GB free in memory",
        )),
        (25e6, 2, "auto", ("device", "25 MB in memory")),
        (5e9, None, "auto", (
            "cache", "5.0 GB read from the cache while networks train: more than half of the "
            "8.0 GB free in memory",
        )),
        (1, 1, "cache", (
            "cache", "0 MB read from the cache while networks train, as [workers] images says",
        )),
        (9e9, 1, "device", ("device", "9.0 GB in memory, as [workers] images says")),
        (9e9, 1, "host", ("device", "9.0 GB in memory, as [workers] images says")),
    ],
)  # fmt: skip
def test_images_are_where_there_is_room_for_them(
    monkeypatch, size, workers, wanted, expected
) -> None:
    monkeypatch.setattr(module, "free_memory", lambda: int(8e9))
    assert place_images(int(size), torch.device("cpu"), wanted, workers) == expected


@pytest.mark.parametrize(
    ("size", "workers", "expected"),
    [
        (30e9, None, ("device", "30.0 GB on the device")),
        (30e9, 8, (
            "cache", "30.0 GB read from the cache while networks train: more than half of the "
            "35.0 GB free on the device and of the 25.0 GB free in the host's memory",
        )),
        (48e9, 4, (
            "host", "48.0 GB in the host's memory: more than half of the 70.0 GB free on the "
            "device",
        )),
    ],
)  # fmt: skip
def test_a_gpu_has_less_room_than_its_host(monkeypatch, size, workers, expected) -> None:
    monkeypatch.setattr(module, "free_memory", lambda: int(200e9 if workers == 8 else 400e9))
    for name, answer in (("device_count", 4), ("memory_reserved", 10**10)):
        monkeypatch.setattr(torch.cuda, name, lambda *_, answer=answer: answer)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (6 * 10**10, 10**11))
    assert place_images(int(size), torch.device("cuda"), "auto", workers) == expected
