"""Semantic segmentation: mean IoU, pixel accuracy and boundary IoU, clean and under noise, with intervals."""

from noisewise.tasks.segmentation.evaluate import Segmented, class_maps, miou_difference, segment
from noisewise.tasks.segmentation.task import Segmentation

__all__ = ["Segmentation", "Segmented", "class_maps", "miou_difference", "segment"]
