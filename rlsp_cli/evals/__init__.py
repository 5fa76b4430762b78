"""Honest evaluation: benches, samplers, metrics with intervals, overlap, behaviours."""
