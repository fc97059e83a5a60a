"""What a network is for, measured: a task takes a model and yields the names and values of its metrics."""

from noisewise.tasks.comparable import ComparableTask

__all__ = ["ComparableTask"]
