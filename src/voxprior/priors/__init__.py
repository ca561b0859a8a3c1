"""What is known of an image before it is measured: denoisers, learned or analytic, and their weights."""
