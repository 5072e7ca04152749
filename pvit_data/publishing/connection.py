"""The Hub's client, with patience that ends: timeouts, tries of our own, a way to stop it, and nothing printed by it.

By itself it waits for ever for a server that says nothing, tries some calls again and others not, and prints addresses
with their signatures.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from pvit_data.errors import Interrupted, PvitError, StorageError, UsageError
from pvit_data.storage.hub import require_online
from pvit_data.storage.remote import asked_to_wait, is_of_network, may_pass, status_of
from pvit_data.words import plain_url, short, shown

SILENCE = 60.0  # seconds without a byte in either direction
WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds before the next try
Result = TypeVar("Result")


class Connection:
    """What is shared by all calls of one publication.

    Attributes:
        api: `huggingface_hub.HfApi`, with the user's own endpoint and token.

    Args:
        waits: seconds before each further try.
    """

    def __init__(self, waits: Sequence[float] = WAITS) -> None:
        from huggingface_hub import HfApi

        self.api = HfApi()
        self._waits = waits
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Lets nothing begin any more; what other threads send ends with their next block."""
        self._stopped.set()
        if "hf_xet" in sys.modules:  # which waits for minutes otherwise
            from huggingface_hub.utils import _xet

            abort: Any = getattr(_xet, "abort_xet_session", None)  # not in older versions
            if abort is not None:
                abort()

    def require_going(self) -> None:
        """Ends a thread after `stop`.

        Raises:
            Interrupted: then.
        """
        if self._stopped.is_set():
            raise Interrupted("stopped")

    def tried(self, action: Callable[[], Result], what: str) -> Result:
        """Does something that the client does not try again by itself.

        Args:
            action: may be done twice.
            what: for messages, such as `"me/mine"`.

        Raises:
            PvitError: in words, when it is not worth another try.
        """
        for wait in (*self._waits, None):
            try:
                return action()
            except Exception as error:  # the client's classes are many
                cause = reason(error)
                if wait is None or not passes(cause):
                    raise in_words(cause, what) from None  # its text may hold signed addresses
                time.sleep(max(wait, asked_to_wait(cause)))
        raise AssertionError  # the last turn returns or raises


@contextmanager
def connected(patient: bool = True) -> Iterator[Connection]:
    """The client as it is used here, within the block.

    Args:
        patient: what fails is tried again.

    Raises:
        UsageError: if the environment says that the Hub is not to be asked.
    """
    require_online()
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils import _http

    quieten()
    connection = Connection(WAITS if patient else ())
    before = _http._GLOBAL_CLIENT_FACTORY  # somebody's own, with proxies or certificates
    set_client_factory(lambda: _patient(before(), connection))
    try:
        yield connection
    finally:
        set_client_factory(before)


def quieten(bars: bool = False) -> None:
    """Keeps the client from printing: bars of its own but where they are wanted, addresses with signatures in warnings.

    Args:
        bars: are wanted.
    """
    from huggingface_hub import utils
    from huggingface_hub.utils import logging as its_logging

    its_logging.set_verbosity(logging.ERROR)
    if not bars:
        utils.disable_progress_bars()  # type: ignore[attr-defined]
    for name in ("httpx", "httpx2"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _patient(client: Any, connection: Connection) -> Any:
    """A client that ends what is silent, and is not tried again then."""
    client.timeout = SILENCE
    send = client.send

    def sent(*args: Any, **options: Any) -> Any:
        connection.require_going()
        try:
            return send(*args, **options)
        except Exception as error:
            connection.require_going()
            if _is_silence(error):
                raise StorageError(
                    f"the Hub did not answer for {SILENCE:g} s: try again later"
                ) from None
            raise

    client.send = sent
    return client


def _is_silence(error: Exception) -> bool:
    return any(kind.__name__ == "TimeoutException" for kind in type(error).__mro__)


def reason(error: BaseException) -> Exception:
    """The error behind those that the client wraps around it."""
    while type(error) is RuntimeError and error.__cause__ is not None:
        error = error.__cause__
    assert isinstance(error, Exception)
    return error


def passes(error: Exception) -> bool:
    """Whether another try may succeed."""
    return not isinstance(error, PvitError) and may_pass(error)


def in_words(error: Exception, what: str) -> PvitError:
    """What went wrong, for people: without addresses.

    Args:
        error: of the client, see `reason`.
        what: the repository, or the file in it.
    """
    if isinstance(error, PvitError):
        return error
    kind = type(error).__name__
    if kind == "LocalTokenNotFoundError":
        return UsageError("no token: run 'hf auth login', or set HF_TOKEN to one that may write")
    of_xet = _status_of_xet(error)
    status = status_of(error) or of_xet
    if kind == "RevisionNotFoundError":
        return StorageError(
            f"{what}: there is no such revision: give a branch, tag or commit of it"
        )
    if status == 404 and "xet-write-token" in str(error):
        return StorageError(f"{what}: this Hub does not know Xet: set HF_HUB_DISABLE_XET=1")
    if status is not None and (is_of_store(error) or (of_xet and of_xet not in _STATUS)):
        return StorageError(
            f"{what}: the Hub's store answers {status}: run the same command again, what arrived is kept"
        )
    if status is not None:
        said = getattr(error, "server_message", None)
        told = f" (the server says: {short(shown(plain_url(said)), 200)})" if said else ""
        return StorageError(f"{what}: {_STATUS.get(status, f'the server answers {status}')}{told}")
    if isinstance(error, OSError) and error.filename:
        return StorageError(f"{error.filename}: {error.strerror}")
    text = short(shown(" ".join(plain_url(str(error)).split())), 200)
    if is_of_network(error):
        told = f" ({text})" if text else ""
        return StorageError(
            f"{what}: the connection failed{told}: run the same command again, what arrived is kept"
        )
    return StorageError(f"{what}: {kind}: {text}" if text else f"{what}: {kind}")


def is_of_store(error: Exception) -> bool:
    """Whether an answer came from where files lie, not from the Hub: its signed addresses hold for some hours."""
    from huggingface_hub import constants

    response = getattr(error, "response", None)
    return response is not None and not str(response.url).startswith(f"{constants.ENDPOINT}/")


def _status_of_xet(error: Exception) -> int | None:
    """The status code in the text of an error of hf_xet, which tells it nowhere else."""
    found = re.search(r"\((\d{3}) [A-Z]", str(error)) if type(error) is ConnectionError else None
    return int(found[1]) if found else None


_STATUS = {
    401: "the token is not accepted, it may have expired: run 'hf auth login', or set HF_TOKEN to a new one",
    403: "the token may not do this: it needs the right to write there",
    404: "there is no such repository, or the token may not see it",
    412: "the repository was changed meanwhile: run the same command again",
    429: "the server asks for a pause: run the same command again later",
}  # fmt: skip
