"""Pictures in and out of detectors: letterbox, heads, NMS, drawing. Pure functions."""
