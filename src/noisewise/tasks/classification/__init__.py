"""Image classification: accuracy, clean and under every noise at five severities, and differences with intervals."""

from noisewise.tasks.classification.corruptions import corruptions, severities
from noisewise.tasks.classification.evaluate import Correctness, accuracy_difference, evaluate
from noisewise.tasks.classification.task import Classification, CorruptionSuite, corruption_errors

__all__ = [
    "Classification",
    "Correctness",
    "CorruptionSuite",
    "accuracy_difference",
    "corruption_errors",
    "corruptions",
    "evaluate",
    "severities",
]
