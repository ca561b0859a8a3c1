"""Volumes made from the prior alone, beside the statistics of the volumes it was trained on."""
