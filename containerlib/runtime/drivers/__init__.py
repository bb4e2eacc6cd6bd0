"""Who makes a container's processes: the helper, or another OCI runtime under the same supervisor."""
