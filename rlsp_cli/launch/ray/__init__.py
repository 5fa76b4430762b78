"""A job on Ray: its driver runs beside rlsp, and talks to a cluster, its own or one that is there, over REST alone."""
