"""Many scans: BIDS data sets in, derivatives out, on as many machines as there are."""
