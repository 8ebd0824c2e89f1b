"""Heads: how the outputs of detectors are told apart and read. ``resolve`` has the rule."""
