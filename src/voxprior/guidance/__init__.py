"""What turns a prior into a denoiser that knows the measurement."""
