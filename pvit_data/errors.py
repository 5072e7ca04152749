"""The errors a user can meet, and nothing else.

Every message says what failed, where (file, sample, option), what was found against what was expected, and what to do,
on one line. Commands print the message without a traceback and exit with `exit_code`.

    PvitError
    |- UsageError            a wrong option, name or combination of both            (exit 2)
    |  `- ConfigError        a recipe or configuration that cannot be used          (exit 2)
    |- SourceError           raw data that is missing, unreadable or unexpected     (exit 1)
    |- FormatError           a value or file outside the shard format               (exit 1)
    |  `- CorruptShardError  bytes that differ from what the index promises         (exit 1)
    |- StorageError          a file that cannot be read or written                  (exit 1)
    |- LicenceError          something a source's licence forbids                   (exit 1)
    `- Interrupted           stopped on request; work is saved and resumable        (exit 75)
"""


class PvitError(Exception):
    """Base of all errors raised on purpose by the toolkit."""

    exit_code = 1


class UsageError(PvitError):
    """A wrong option, name or combination of options."""

    exit_code = 2


class ConfigError(UsageError):
    """A recipe or configuration that cannot be used."""


class SourceError(PvitError):
    """Raw data that is missing, unreadable or unexpected.

    Attributes:
        reason: a short, stable name of the cause (`"missing-file"`, `"corrupt-hdf5"`), by which skips are counted.
    """

    def __init__(self, message: str, *, reason: str = "unreadable") -> None:
        super().__init__(message)
        self.reason = reason


class FormatError(PvitError):
    """A value or file outside the shard format."""


class CorruptShardError(FormatError):
    """Bytes that differ from what the index promises."""


class StorageError(PvitError):
    """A file that cannot be read or written: a full disk, missing rights, a lost connection."""


class LicenceError(PvitError):
    """Something that a source's licence forbids."""


class Interrupted(PvitError):
    """Stopped on request; finished work is saved and the same command continues it."""

    exit_code = 75
