"""What every reader of a data set says of itself."""

from __future__ import annotations

import re

import pytest

from noisewise.data.classification import CLASSIFICATION_DATASETS
from noisewise.data.detection import DETECTION_DATASETS
from noisewise.data.reidentification import REIDENTIFICATION_DATASETS
from noisewise.data.segmentation import SEGMENTATION_DATASETS
from noisewise.errors import DatasetError

REGISTRIES = (CLASSIFICATION_DATASETS, DETECTION_DATASETS, REIDENTIFICATION_DATASETS, SEGMENTATION_DATASETS)
READERS = [pytest.param(reader, id=name) for registry in REGISTRIES for name, reader in registry.items()]


@pytest.mark.parametrize("reader", READERS)
def test_a_layout_is_told_and_can_stand_in_a_table(reader):
    assert reader.layout
    assert not re.search(r"[<>|\n]", reader.layout)


@pytest.mark.parametrize("reader", READERS)
def test_an_empty_folder_is_an_error_that_tells_what_was_expected(reader, tmp_path):
    with pytest.raises(DatasetError, match="expected"):
        reader(tmp_path, *getattr(reader, "splits", ())[:1])
