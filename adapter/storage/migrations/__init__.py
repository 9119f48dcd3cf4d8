"""Numbered steps from one version's tables to the next; `env.py` is run by Alembic, not imported."""
