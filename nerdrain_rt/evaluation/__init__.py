"""Measures what a network is worth: scores on pairs, harm on dry footage, flicker from frame to frame."""
