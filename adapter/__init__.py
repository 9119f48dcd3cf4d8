"""A unified user directory in front of the Heroku Platform API, with the raw API beside it."""

__version__ = "0.1.0"
