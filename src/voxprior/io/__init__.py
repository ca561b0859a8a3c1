"""Files: images in, outputs and their proof out."""
