"""Worker processes, what they are sent and what they tell."""
