"""What a user can mend: errors of ours that a command prints as one line, without the way that they came."""


class UserError(RuntimeError):
    """The message says what happened and what to do. Python's own OSError, KeyError and ValueError are printed too."""
