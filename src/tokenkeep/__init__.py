"""Tokenkeep: the credential service for workflow nodes."""

__version__ = "0.1.0"
