"""Plugins of rlsp for problems that ask for two numbers with a given sum."""
