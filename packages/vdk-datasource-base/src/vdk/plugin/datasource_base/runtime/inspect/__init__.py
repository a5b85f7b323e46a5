# SPDX-License-Identifier: Apache-2.0
"""Inspects a flow without running it: ``check``, ``discover`` and ``preview``."""
