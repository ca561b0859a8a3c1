"""Few X-ray views to volumes: which blocks are measured how, by whom reconstructed, and what it gave."""
