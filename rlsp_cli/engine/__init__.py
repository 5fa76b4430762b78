"""The embedded torch engine. It knows tokens and tensors; only the local backend's child and sampler import it."""
