"""The one kind of error that users are meant to read."""


class KnetError(Exception):
    """Something the user can mend: one line that says what is wrong and what to do. The CLI prints it and exits 2."""
