"""From an image and a recipe's options to a bundle: config.json with Docker's defaults, and what it needs to know."""
