"""How much two variables tell of each other: sound estimators, and beside them the closed forms of Positive Noise."""

from noisewise.measure.information.critics import Critic, critic_information, info_nce, jensen_shannon
from noisewise.measure.information.gaussian import gaussian_information
from noisewise.measure.information.neighbours import class_information, neighbour_information
from noisewise.measure.information.paper import (
    PAPER_MI,
    paper_mi_gaussian,
    paper_mi_linear,
    paper_mi_optimal,
    paper_mi_salt_and_pepper,
    task_entropy,
)

__all__ = [
    "PAPER_MI",
    "Critic",
    "class_information",
    "critic_information",
    "gaussian_information",
    "info_nce",
    "jensen_shannon",
    "neighbour_information",
    "paper_mi_gaussian",
    "paper_mi_linear",
    "paper_mi_optimal",
    "paper_mi_salt_and_pepper",
    "task_entropy",
]
