"""Object detection: AP of boxes, masks and their boundaries, clean and under noise."""

from noisewise.tasks.detection.detect import detect, detections
from noisewise.tasks.detection.task import Detection, Findings, ap_difference

__all__ = ["Detection", "Findings", "ap_difference", "detect", "detections"]
