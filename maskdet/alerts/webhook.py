"""Send alerts to a webhook as signed JSON."""

from __future__ import annotations

import hashlib
import hmac
import http.client
from time import time
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

from maskdet.alerts.delivery import DeliveryError
from maskdet.events.event import Event
from maskdet.http_session import describe_http_error, open_http_session

TIME_HEADER: Final = "X-Maskdet-Timestamp"
"""Header with the time of sending: whole seconds since 1970 in UTC."""

SIGNATURE_HEADER: Final = "X-Maskdet-Signature"
"""Header with `sha256=` and the HMAC-SHA256 of timestamp, `.` and body, in hex."""

TIMEOUT_S: Final = 5.0
"""Timeout of the response, in seconds."""

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

    def __init__(self, url: str, secret: str = "") -> None:
        """Set the receiver; nothing is sent yet.

        Args:
            url: URL of the receiver.
            secret: shared secret of the signature; empty for no signature.

        Raises:
            ValueError: the URL is invalid.
        """
        self._url = validate_webhook_url(url)
        self._secret = secret

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
        from requests import RequestException, Timeout

        try:
            # The connection is closed without reading the response, however long.
            with (
                open_http_session() as session,
                session.post(
                    url,
                    body,
                    headers=self._headers(body),
                    timeout=TIMEOUT_S,
                    allow_redirects=False,
                    stream=True,
                ) as response,
            ):
                code, headers = response.status_code, response.headers
        except Timeout:
            raise DeliveryError("the webhook did not respond in time") from None
        except RequestException as error:
            raise DeliveryError(
                f"cannot reach the webhook: {describe_http_error(error)}"
            ) from None
        if 200 <= code < 300:
            return ""
        if code in {307, 308} and headers.get("Location"):
            return urljoin(url, headers["Location"])
        raise _make_rejection_error(code, headers.get("Retry-After", ""))

    def _headers(self, body: bytes) -> dict[str, str]:
        timestamp = str(int(time()))
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "maskdet",
            TIME_HEADER: timestamp,
        }
        if self._secret:
            headers[SIGNATURE_HEADER] = compute_signature(self._secret, timestamp, body)
        return headers


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
