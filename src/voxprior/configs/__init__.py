"""The YAML that made each of the committed weights."""
