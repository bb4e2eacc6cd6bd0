"""What config.json may say: every property and its status, validation by the specification, and the features."""
