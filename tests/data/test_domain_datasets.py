"""Sets of several domains, on hand-made copies of their layouts, and on Office-Caltech-10 where it is at hand."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest
import torch
from PIL import Image

from noisewise.data.classification import resize_and_crop
from noisewise.data.domains import DOMAIN_DATASETS
from noisewise.errors import ArgumentError, DatasetError

READERS = [(name, domain) for name in DOMAIN_DATASETS for domain in DOMAIN_DATASETS[name].domains]
PUBLISHED = {
    "office31": "amazon/images/back_pack/frame_0001.jpg",
    "office_home": "Real World/Alarm_Clock/00001.jpg",
    "visda2017": "validation/aeroplane/aeroplane_0.jpg",
    "office_caltech10": "webcam/backpack/frame_0001.jpg",
}


@pytest.mark.parametrize(("name", "domain"), READERS)
def test_a_domain_has_its_own_images(name, domain, tmp_path):
    reader = DOMAIN_DATASETS[name]
    for place, folder in enumerate(reader.domains):
        for shade, label in enumerate(("bike", "mug")):
            path = tmp_path / folder / reader.below / label / "1.png"
            path.parent.mkdir(parents=True)
            Image.new("RGB", (40, 30), (10 * place, shade, 0)).save(path)
    images = reader(tmp_path, domain, transform=resize_and_crop(16))
    assert images.classes == ("bike", "mug")
    assert [label for _, label in images] == [0, 1]
    expected = torch.tensor([10 * reader.domains.index(domain), 1, 0]) / 255
    torch.testing.assert_close(images[1][0].mean((1, 2)), expected)


@pytest.mark.parametrize("name", DOMAIN_DATASETS)
def test_the_published_layout_is_read(name, tmp_path):
    path = tmp_path / PUBLISHED[name]
    path.parent.mkdir(parents=True)
    Image.new("RGB", (40, 30)).save(path)
    assert len(DOMAIN_DATASETS[name](tmp_path, path.relative_to(tmp_path).parts[0])) == 1


def test_another_domain_or_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="amazon, dslr, webcam"):
        DOMAIN_DATASETS["office31"](tmp_path, "flickr")
    with pytest.raises(DatasetError, match="no such folder"):
        DOMAIN_DATASETS["office31"](tmp_path, "dslr")


@pytest.mark.skipif("NOISEWISE_DATA" not in os.environ, reason="needs NOISEWISE_DATA")
def test_office_caltech_10(tmp_path):
    with tarfile.open(Path(os.environ["NOISEWISE_DATA"]) / "office-caltech10.tar") as archive:
        members = [member for member in archive.getmembers() if member.name.startswith(("webcam", "dslr"))]
        archive.extractall(tmp_path, members, filter="data")
    webcam, dslr = (DOMAIN_DATASETS["office_caltech10"](tmp_path, name) for name in ("webcam", "dslr"))
    assert len(webcam.classes) == 10
    assert webcam.classes == dslr.classes
    assert len(webcam) > len(dslr) > 100
