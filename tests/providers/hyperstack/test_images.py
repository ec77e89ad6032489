import pytest

from app.providers import Rejected
from app.providers.hyperstack.images import choose_image, image_names
from app.providers.reading import Malformed

NAMES = [
    "Ubuntu Server 22.04 LTS",
    "Ubuntu Server 22.04 LTS R535 CUDA 12.2",
    "Ubuntu Server 22.04 LTS R570 CUDA 12.8 with Docker",
    "Ubuntu Server 22.04 LTS R535 CUDA 12.2 with Docker",
    "Ubuntu Server 24.04 LTS R570 CUDA 12.8",
    "Debian Server 12 CUDA 99.9 with Docker",
]


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ("nvidia/cuda:12.8.1-base-ubuntu24.04", "Ubuntu Server 22.04 LTS R570 CUDA 12.8 with Docker"),
        ("ubuntu:22.04", "Ubuntu Server 22.04 LTS R570 CUDA 12.8 with Docker"),
        ("ubuntu-server-24.04-lts", "Ubuntu Server 24.04 LTS R570 CUDA 12.8"),
        ("ubuntu-server-22.04-lts-r535-cuda-12.2", "Ubuntu Server 22.04 LTS R535 CUDA 12.2 with Docker"),
        ("debian-server-12", "Debian Server 12 CUDA 99.9 with Docker"),
    ],
)
def test_the_newest_image_that_fits_is_chosen(wanted, chosen):
    assert choose_image(NAMES, wanted) == chosen
    assert choose_image(reversed(NAMES), wanted) == chosen


@pytest.mark.parametrize("wanted", ["windows-server", "lambda-stack-24-04"])
def test_a_system_that_is_not_there_is_rejected(wanted):
    with pytest.raises(Rejected):
        choose_image(NAMES, wanted)


def test_a_container_needs_cuda():
    with pytest.raises(Rejected):
        choose_image(NAMES[:1], "ubuntu:22.04")


def test_images_come_in_groups():
    assert image_names([{"images": [{"name": "a"}, None, {"name": 5}]}, None, {"images": [{"name": "b"}]}]) == [
        "a",
        "b",
    ]
    for nothing in ([], [None], [{"images": []}]):
        with pytest.raises(Malformed):
            image_names(nothing)
