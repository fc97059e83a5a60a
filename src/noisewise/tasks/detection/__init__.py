"""Object detection: AP of boxes, masks and their boundaries, clean and under noise."""

from noisewise.tasks.detection.detect import detect, detections
from noisewise.tasks.detection.task import Detection

__all__ = ["Detection", "detect", "detections"]
