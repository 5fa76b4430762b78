"""What runs inside a sandbox: standard library only, and nothing else of rlsp, which is not there to be imported."""
