"""Volumes that are twice coarser in plane, and a simulated weak field, on test subjects."""
