"""k-space to images: which slices are undersampled how, by whom reconstructed, and what it gave."""
