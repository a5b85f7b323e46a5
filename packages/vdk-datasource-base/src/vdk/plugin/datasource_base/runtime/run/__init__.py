"""Reading and landing: a flow file, its flows, their streams and partitions, and the writer of a destination."""
