# SPDX-License-Identifier: Apache-2.0
"""Messages and states in the words of whoever reads them: options as arguments, or as lines of a flow file."""
