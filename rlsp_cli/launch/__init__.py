"""Starting jobs: the process, its attempts and signals, and what is shown while it runs."""
