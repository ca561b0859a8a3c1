"""One step against many: OS-DDPM's protocol on test subjects."""
