"""Whose provider account, with which live credential, opened by which of our tokens."""
