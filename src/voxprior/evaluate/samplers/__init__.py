"""Ways to sample beside one another on a block of thick slices: few calls or many, guidance, planes, and the noise."""
