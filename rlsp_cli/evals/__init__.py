"""Honest evaluation: benches, samplers, metrics with intervals, overlap with training data, behaviours."""
