"""Hard example miners: pure functions from detections to a verdict."""
