"""Pure values, without I/O: references, digests, manifests, the runtime-spec's words, and what recipes ask for."""
