"""Declared shapes: what a mapping file may say, and the pure engine that turns provider records into unified ones."""
