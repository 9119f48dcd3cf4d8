"""Changing who has what: ask → plan → guards → journal → steps. Every door that writes enters here."""
