"""Files in and out: images of any depth, folders, resumable batches, clean-noisy pairs."""

from __future__ import annotations

from noisewise.data.cluster import cluster, map_on_ray
from noisewise.data.folders import Source, find_images, output_paths
from noisewise.data.image import ImageFile
from noisewise.data.journal import Journal
from noisewise.data.pairs import LAYOUTS, Layout, Pair, find_pairs
from noisewise.data.reading import read_image
from noisewise.data.resized import ResizedImages
from noisewise.data.writing import check_output, write_image

__all__ = [
    "LAYOUTS",
    "ImageFile",
    "Journal",
    "Layout",
    "Pair",
    "ResizedImages",
    "Source",
    "check_output",
    "cluster",
    "find_images",
    "find_pairs",
    "map_on_ray",
    "output_paths",
    "read_image",
    "write_image",
]
