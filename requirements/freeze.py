"""Print the packages of this environment as exact requirements, without local version labels and the project."""

from importlib.metadata import distributions

HEADER = "# Exact versions for development and CI, written by `make lock`. The ranges for users are in pyproject.toml."
SKIPPED = {"voxprior", "pip", "setuptools", "wheel"}

if __name__ == "__main__":
    found = {d.metadata["Name"]: d.version.partition("+")[0] for d in distributions()}
    lines = (f"{name}=={version}" for name, version in found.items() if name.lower() not in SKIPPED)
    print(HEADER, *sorted(lines, key=str.lower), sep="\n")
