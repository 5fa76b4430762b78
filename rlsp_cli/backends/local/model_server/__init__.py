"""A model of the embedded engine behind HTTP, for plugins that ask it: vLLM's protocol, as far as they need it."""
