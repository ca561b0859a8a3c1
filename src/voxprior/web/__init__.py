"""The door for browsers: a server on this machine alone, which queues jobs and shows their results."""
