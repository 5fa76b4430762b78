"""Traces for SFT: read, sampled, filtered, and written with a data card."""
