"""What runs inside a sandbox: the standard library only, since nothing else of rlsp is there."""
