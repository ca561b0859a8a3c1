"""A real head, cropped, for the demonstration and for tests; see NOTICE."""
