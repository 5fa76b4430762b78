"""Off-policy correction: what becomes of the ratio between the trainer's and the sampler's probabilities."""

from typing import Literal, NamedTuple

Correction = Literal["auto", "none", "tis", "icepop", "sequence"]


class Band(NamedTuple):
    """Bounds of a ratio, of single tokens or of the geometric mean over a response's.

    What is outside is masked, or with `truncates` set to the nearer bound.
    """

    low: float
    high: float
    truncates: bool = False
    of_response: bool = False


BANDS: dict[Correction, Band] = {
    "none": Band(1.0, 1.0, truncates=True),
    "tis": Band(0.0, 2.0, truncates=True),
    "icepop": Band(0.5, 5.0),
    "sequence": Band(0.5, 5.0, of_response=True),
}
"""TIS has the cap of its authors (https://fengyao.notion.site/off-policy-rl), IcePop the band of its own
(arXiv 2510.18855). That of `sequence` is OpenRLHF's default; we know of no paper with one.
"""
