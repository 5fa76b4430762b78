"""Ablations: a recipe under several values of its keys, each from the same seeds, compared in pairs."""
