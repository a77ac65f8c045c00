"""Wattle runs DAGs of real processes and keeps them running."""

__version__ = "0.1.0"
