"""One training: config in, one record per epoch out. Knows nothing of tuners and studies."""
