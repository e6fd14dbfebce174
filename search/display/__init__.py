"""What a search shows and says."""
