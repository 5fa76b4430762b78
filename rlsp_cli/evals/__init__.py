"""Honest evaluation: benches, samplers, metrics with intervals, behaviour counts."""
