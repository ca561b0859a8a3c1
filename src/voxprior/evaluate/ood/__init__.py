"""How well scans are told from what a prior does not know."""
