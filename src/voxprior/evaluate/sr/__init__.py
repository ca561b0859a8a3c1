"""Thick slices to thin slices: which test volumes are thickened how, by whom restored, and what it gave."""
