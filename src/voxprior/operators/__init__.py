"""Linear measurements of an image, each with its adjoint and its exact proximal point."""
