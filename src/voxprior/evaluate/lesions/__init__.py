"""Lesions put into truths before they are measured: what comes back of their contrast, and what was never there."""
