"""The filter of failures that repeat."""

from __future__ import annotations

import logging

from maskdet.log_filter import RepeatedFailureFilter


class Source:
    """What fails, such as a stream."""


def test_failures_1_10_100_of_each_source_pass_with_their_number(caplog) -> None:
    logger = logging.getLogger("tests.log_filter")
    logger.addFilter(RepeatedFailureFilter())
    first, second = Source(), Source()
    for _ in range(1001):
        logger.error("failed %s", "again", extra={"source": first})
    logger.error("failed %s", "once", extra={"source": second})
    for _ in range(3):
        logger.error("without a source")
    assert [record.getMessage() for record in caplog.records] == [
        *(f"failed again ({n} so far)" for n in (1, 10, 100, 1000)),
        "failed once (1 so far)",
        *["without a source"] * 3,
    ]


def test_a_source_that_no_longer_exists_is_forgotten() -> None:
    repeated = RepeatedFailureFilter()
    source = Source()
    record = logging.makeLogRecord({"msg": "failed", "source": source})
    assert repeated.filter(record)
    assert len(repeated._counts) == 1
    del source, record
    assert len(repeated._counts) == 0
