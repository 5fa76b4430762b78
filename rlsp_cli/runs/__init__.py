"""Run folders: their file names, streams, documents and status."""
