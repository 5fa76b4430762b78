"""Samplers: where responses come from. A model in this process, a server, or a file."""

from rlsp_cli.evals.samplers.endpoint import Endpoint, Question
from rlsp_cli.evals.samplers.endpoint_sampler import EndpointSampler
from rlsp_cli.evals.samplers.forcing import ForcedSampler
from rlsp_cli.evals.samplers.replay import ReplaySampler
from rlsp_cli.evals.samplers.sampled import sampled
from rlsp_cli.evals.samplers.sampler import Decoding, Request, Response, Sampler, answers

__all__ = [
    "Decoding",
    "Endpoint",
    "EndpointSampler",
    "ForcedSampler",
    "Question",
    "ReplaySampler",
    "Request",
    "Response",
    "Sampler",
    "answers",
    "sampled",
]
