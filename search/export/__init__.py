"""The `best/` folder, and the model in the formats of other frameworks."""
