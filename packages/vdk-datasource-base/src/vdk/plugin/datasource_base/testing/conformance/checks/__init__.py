# SPDX-License-Identifier: Apache-2.0
"""The checks of the suite, a module for each subject."""
