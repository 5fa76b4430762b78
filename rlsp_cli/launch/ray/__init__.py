"""A job on Ray: its driver runs beside rlsp, and talks to a cluster over REST alone."""
