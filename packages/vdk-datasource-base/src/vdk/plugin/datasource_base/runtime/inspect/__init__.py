"""Inspects a flow without running it: ``check``, ``discover`` and ``preview``."""
