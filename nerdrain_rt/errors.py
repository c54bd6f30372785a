"""The errors this package raises on purpose; those of one module (`JobError`, `Diverged`) are defined there.

DerainError             one line says what failed, what was got, what would work
|- UsageError           refused before anything started: wrong option, target exists
|- MediaError           a file or stream cannot be read or written
|- WeightsError         weights are missing, damaged, or of another network
|- BackendError         a backend or device is not available, or failed while running
`- CameraError          a camera cannot be opened or was lost
"""


class DerainError(Exception):
    """Base of all errors that are ours; its message is one line for a person."""


class UsageError(DerainError):
    """The request was refused before any work started (exit code 2)."""


class MediaError(DerainError):
    """A media file or stream cannot be read or written."""


class WeightsError(DerainError):
    """Weights are missing, damaged, or belong to another network."""


class BackendError(DerainError):
    """A backend or device is not available, or failed while running."""


class CameraError(DerainError):
    """A camera cannot be opened or was lost."""


def first_line(error: BaseException) -> str:
    """What an error says, or is where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
