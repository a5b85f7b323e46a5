# SPDX-License-Identifier: Apache-2.0
"""What VDK loads on every command. It imports nothing, so that no command waits for SQLAlchemy."""
