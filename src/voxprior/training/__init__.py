"""Fitting a prior to scans, from a validated file of settings."""
