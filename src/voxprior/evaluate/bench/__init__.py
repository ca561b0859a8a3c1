"""Bench tests on phantoms in closed form: resolution across the slices, noise, low-contrast detail."""
