"""Measuring on held-back subjects: protocols, a run that resumes, calibration, and the page of results."""
