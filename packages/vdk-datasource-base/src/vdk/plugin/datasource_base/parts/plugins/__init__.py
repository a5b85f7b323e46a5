# SPDX-License-Identifier: Apache-2.0
"""What plugins register: the names of sources and destinations, their classes and their options."""
