"""One file a source of methods; a method turns a Measurement into a Result."""
