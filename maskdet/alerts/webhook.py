"""Send alerts to a webhook as signed JSON."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

from maskdet.alerts.delivery import DeliveryError
from maskdet.events.event import Event

TIME_HEADER: Final = "X-Maskdet-Timestamp"
"""Header with the time of sending: whole seconds since 1970 in UTC."""

SIGNATURE_HEADER: Final = "X-Maskdet-Signature"
"""Header with `sha256=` and the HMAC-SHA256 of timestamp, `.` and body, in hex."""

TIMEOUT_S: Final = 5.0
_MAX_REDIRECTS: Final = 3
_RETRYABLE_STATUS_CODES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


def compute_signature(secret: str, timestamp: str, body: bytes) -> str:
    """Compute the value of `SIGNATURE_HEADER`.

    A receiver computes the same from the timestamp header and the unchanged body,
    compares with `hmac.compare_digest`, and rejects requests older than a few minutes.
    """
    signed = timestamp.encode() + b"." + body
    return "sha256=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def validate_webhook_url(url: str) -> str:
    """Return a checked webhook URL, without surrounding spaces.

    Raises:
        ValueError: the URL is invalid; the message omits it, as it may contain a
            secret.
    """
    try:
        parts = urlsplit(url.strip())
        is_valid = parts.scheme in {"http", "https"} and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        is_valid = False
    if not is_valid or not url.strip().isascii() or any(map(str.isspace, url.strip())):
        raise ValueError(
            "invalid webhook URL; use a URL such as https://example.org/alerts"
        )
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            "webhook URLs must not contain a user or password; set a secret to sign "
            "the requests"
        )
    return url.strip()


class Webhook:
    """Sends each alert as a POST request with JSON; see `Event.to_json`."""

    def __init__(
        self,
        url: str,
        secret: str = "",
        *,
        timeout_s: float = TIMEOUT_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Set the receiver; nothing is sent yet.

        Args:
            url: URL of the receiver.
            secret: shared secret of the signature; empty for no signature.
            timeout_s: timeout of the response, in seconds.
            clock: seconds since 1970.

        Raises:
            ValueError: the URL is invalid.
        """
        self._url = validate_webhook_url(url)
        self._secret = secret
        self._timeout_s = timeout_s
        self._clock = clock
        # The proxies of the environment are used; `__call__` follows redirects.
        self._opener = urllib.request.build_opener(_NoRedirects)

    def __call__(self, alert: Event) -> None:
        """Send one alert.

        Raises:
            DeliveryError: it was not accepted; the message has no URL.
        """
        body, url = alert.to_json().encode(), self._url
        for _ in range(_MAX_REDIRECTS + 1):
            redirect_url = self._post(url, body)
            if not redirect_url:
                return
            if _url_origin(urlsplit(redirect_url)) != _url_origin(urlsplit(self._url)):
                raise DeliveryError(
                    "the webhook redirects to another host, which is not allowed",
                    retryable=False,
                )
            url = redirect_url
        raise DeliveryError(
            f"the webhook redirects more than {_MAX_REDIRECTS} times", retryable=False
        )

    def _post(self, url: str, body: bytes) -> str:
        """Send the body; return the URL of a redirect, or an empty string."""
        request = urllib.request.Request(url, body, self._headers(body), method="POST")
        try:
            with self._opener.open(request, timeout=self._timeout_s):
                return ""
        except urllib.error.HTTPError as error:
            with error:
                location = error.headers.get("Location", "")
                retry_after = error.headers.get("Retry-After", "")
            if error.code in {307, 308} and location:
                return urljoin(url, location)
            raise _make_rejection_error(error.code, retry_after) from None
        except TimeoutError:
            raise DeliveryError("the webhook did not respond in time") from None
        except urllib.error.URLError as error:
            raise DeliveryError(
                f"cannot reach the webhook: {_describe_url_error(error)}"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            message = f"the webhook closed the connection: {type(error).__name__}"
            raise DeliveryError(message) from None

    def _headers(self, body: bytes) -> dict[str, str]:
        timestamp = str(int(self._clock()))
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "maskdet",
            TIME_HEADER: timestamp,
        }
        if self._secret:
            headers[SIGNATURE_HEADER] = compute_signature(self._secret, timestamp, body)
        return headers


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Disables redirects: urllib would follow some of them to any host, as a GET."""

    def redirect_request(self, *_: object) -> None:
        return None


def _url_origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    default_port = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, parts.port or default_port


def _make_rejection_error(code: int, retry_after: str) -> DeliveryError:
    wait_s = (
        float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 0.0
    )
    reason_phrase = http.client.responses.get(code, "")
    message = f"the webhook returned status {code} {reason_phrase}".strip()
    return DeliveryError(
        message, retryable=code in _RETRYABLE_STATUS_CODES, retry_after_s=wait_s
    )


def _describe_url_error(error: urllib.error.URLError) -> str:
    reason = error.reason
    if isinstance(reason, TimeoutError):
        return "no response in time"
    if isinstance(reason, OSError):
        return reason.strerror or type(reason).__name__
    return str(reason)
