"""The fence: the only package that sees the C extension, its data types, and raw descriptors to the kernel."""
