"""What the reader says about bad data: an error that stops, or one counted warning for what was skipped."""


class DataError(ValueError):
    """Data on disk are not what they should be. The one-line message names the file and the way out."""


class DataWarning(UserWarning):
    """Some sentences can't be trained on and were skipped; the message counts them, one warning for each reason."""
