"""What the reader says about bad data: an error that stops, or one warning for what was skipped or changed."""


class DataError(ValueError):
    """Data on disk are not what they should be. The one-line message names the file and the way out."""


class DataWarning(UserWarning):
    """Data that are used, but not all or not as they lie there; one warning for each reason, with the first case."""
