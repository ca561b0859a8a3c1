"""``python -m voxprior`` is the command ``voxprior``."""

from voxprior.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
