"""The one error that a user can mend."""


class InputError(Exception):
    """Something in the input or the options is wrong: one line says what, where, and what to do.

    The command line prints the line and ends with exit code 2.
    """
