"""What the tests stand on: images of this machine's programs, a real registry, the check for leaks."""
