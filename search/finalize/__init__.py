"""What follows the trials: confirmation, final training, the one test."""
