"""Sets that show the same classes in several domains: Office-31, Office-Home, VisDA-2017 and Office-Caltech-10.

Nothing is ever downloaded. Plain class folders of one's own are read with ``CLASSIFICATION_DATASETS["folder"]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from noisewise._registry import Registry
from noisewise.data.classification import CLASSIFICATION_DATASETS, LabelledImages, ListedImages, Transform
from noisewise.data.folders import find_images
from noisewise.errors import ArgumentError

__all__ = ["DOMAIN_DATASETS", "UNKNOWN", "DomainReader", "labelled_by_folder"]

UNKNOWN = -1
"""The label of an image whose class nobody says."""


@dataclass(frozen=True)
class DomainReader:
    """How one set lies on a disk: a folder for each domain, and in it one for each class.

    Attributes:
        domains: names of the folders.
        below: folder between a domain and its classes.
    """

    domains: tuple[str, ...]
    below: str = ""

    def __call__(self, root: str | Path, domain: str, *, transform: Transform | None = None) -> LabelledImages:
        """The images of one domain.

        Args:
            root: the folder that holds the domains.
            domain: one of ``domains``.
            transform: from a photograph to a float tensor in [0, 1]; `resize_and_crop` to 224 pixels by default.

        Raises:
            ArgumentError: the set has no such domain.
            DatasetError: the files are not there, or damaged; the message has the expected layout.
        """
        if domain not in self.domains:
            raise ArgumentError(f"there is no domain {domain!r}; choose one of {', '.join(self.domains)}")
        return CLASSIFICATION_DATASETS["folder"](Path(root) / domain / self.below, transform=transform)


DOMAIN_DATASETS: Registry[DomainReader] = Registry("data set of several domains")
"""Readers by name: ``DOMAIN_DATASETS["office31"](root, "amazon", transform=resize_and_crop(224))``."""


def labelled_by_folder(folder: Path, classes: Sequence[str], *, transform: Transform) -> LabelledImages:
    """Every image below ``folder``, labelled with the class that its own folder is named after, or ``UNKNOWN``.

    Raises:
        ArgumentError: there is no image.
    """
    paths = [source.path for source in find_images([folder])]
    ranks = {name: rank for rank, name in enumerate(classes)}
    labels = [ranks.get(path.parent.name, UNKNOWN) for path in paths]
    return LabelledImages(ListedImages(paths, labels, classes), transform)


# Saenko et al., ECCV 2010. Venkateswara et al., CVPR 2017. Peng et al., arXiv 1710.06924. Gong et al., CVPR 2012.
DOMAIN_DATASETS.register("office31")(DomainReader(("amazon", "dslr", "webcam"), "images"))
DOMAIN_DATASETS.register("office_home")(DomainReader(("Art", "Clipart", "Product", "Real World")))
DOMAIN_DATASETS.register("visda2017")(DomainReader(("train", "validation")))
DOMAIN_DATASETS.register("office_caltech10")(DomainReader(("amazon", "caltech", "dslr", "webcam")))
