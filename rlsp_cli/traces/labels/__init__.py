"""Label the steps of responses: `rlsp data steps`. `make.py` has the order of the work.

To add a labelling, write a `Labeller` in a file of its own and add it to the table in `chosen.py`.
"""

from rlsp_cli.traces.labels.card import StepCard
from rlsp_cli.traces.labels.job import LabelJob
from rlsp_cli.traces.labels.make import label_steps

__all__ = ["LabelJob", "StepCard", "label_steps"]
