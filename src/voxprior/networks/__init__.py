"""Networks that a prior is made of; they know nothing of noise levels in physical units or of files."""
