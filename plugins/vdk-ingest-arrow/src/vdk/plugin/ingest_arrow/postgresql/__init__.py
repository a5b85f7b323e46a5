# SPDX-License-Identifier: Apache-2.0
"""The target ``postgresql://user:password@host/database``."""
