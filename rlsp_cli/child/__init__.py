"""Processes that we start: they end when we do, and the end of their logs says why they failed."""
