"""Tandem: joint inference for cameras. What flows, how it is wired, and how it is called."""
