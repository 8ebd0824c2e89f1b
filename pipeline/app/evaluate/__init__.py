"""What miners are worth: both models run once over a labelled set, and every miner is replayed on what they saw."""
