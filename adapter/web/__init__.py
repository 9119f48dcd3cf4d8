"""The doors: one module each, thin: parse, call, answer."""
