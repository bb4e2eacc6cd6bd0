"""One registry, spoken to as the distribution specification has it: no privilege, no store, any operating system."""
