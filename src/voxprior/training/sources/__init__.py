"""Training data as public data sets are downloaded: what the files of a folder are, found without renaming any."""
