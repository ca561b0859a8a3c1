"""Whether intervals hold the truth as often as they say, on scans that they were not widened on."""
