"""What a restoration does to a measurement that comes after it: volumes of tissue."""
