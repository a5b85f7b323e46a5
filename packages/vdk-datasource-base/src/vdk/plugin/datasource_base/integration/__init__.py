"""Layer 4, the VDK edge: the only place that knows vdk-core."""
