"""The reward service: a recipe's rewards over HTTP, for trainers that run elsewhere."""
