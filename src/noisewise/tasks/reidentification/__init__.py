"""Re-identification: find the images of the individual on a query in a gallery."""

from noisewise.tasks.reidentification.embedding import embed
from noisewise.tasks.reidentification.task import Reidentification, map_difference

__all__ = ["Reidentification", "embed", "map_difference"]
