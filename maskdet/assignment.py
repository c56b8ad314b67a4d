"""The best pairing of two groups, exactly (Kuhn 1955), NumPy only.

Written here because SciPy, which has it, would be a new dependency for one function.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NOBODY = -1
"""Who is paired with no one."""


def assign(gains: NDArray[np.float64]) -> NDArray[np.int64]:
    """Pair rows with columns so that the sum of the gains is as large as can be.

    Nobody has to be paired: only pairs with a gain above 0 are ever made.

    Args:
        gains: `(n, m)` finite, what it is worth to pair each row with each column.

    Returns:
        `(n,)` the column of each row, `NOBODY` for none.
    """
    gains = np.asarray(gains, dtype=np.float64)
    pairs = np.full(len(gains), NOBODY, np.int64)
    rows, columns = np.nonzero(gains > 0)
    # Groups that share no possible pair are solved alone: most are one of each.
    for some_rows, some_columns in _groups(rows.tolist(), columns.tolist()):
        if len(some_rows) == len(some_columns) == 1:
            pairs[some_rows[0]] = some_columns[0]
            continue
        if len(some_rows) == 1 or len(some_columns) == 1:
            part = gains[np.ix_(some_rows, some_columns)]
            best = np.unravel_index(int(part.argmax()), part.shape)
            pairs[some_rows[int(best[0])]] = some_columns[int(best[1])]
            continue
        part = np.maximum(gains[np.ix_(some_rows, some_columns)], 0.0)
        swap = len(some_rows) > len(some_columns)
        solved = _cheapest(-part.T if swap else -part)
        for first, second in enumerate(solved):
            row, column = (second, first) if swap else (first, second)
            if part[row, column] > 0:
                pairs[some_rows[row]] = some_columns[column]
    return pairs


def _groups(rows: list[int], columns: list[int]) -> list[tuple[list[int], list[int]]]:
    """Return rows and columns of each group that possible pairs hold together."""
    of_row: dict[int, list[int]] = {}
    of_column: dict[int, list[int]] = {}
    for row, column in zip(rows, columns, strict=True):
        of_row.setdefault(row, []).append(column)
        of_column.setdefault(column, []).append(row)
    groups = []
    waiting = set(of_row)
    for start in of_row:
        if start not in waiting:
            continue
        group_rows, group_columns, todo = [], set[int](), [start]
        waiting.discard(start)
        while todo:
            row = todo.pop()
            group_rows.append(row)
            for column in of_row[row]:
                if column not in group_columns:
                    group_columns.add(column)
                    more = [other for other in of_column[column] if other in waiting]
                    waiting.difference_update(more)
                    todo += more
        groups.append((sorted(group_rows), sorted(group_columns)))
    return groups


def _cheapest(costs: NDArray[np.float64]) -> list[int]:
    """Give each row its own column at the least total cost; n must not exceed m.

    Shortest augmenting paths with potentials (Jonker & Volgenant 1987). Column 0 of
    the arrays is where each search starts.
    """
    n, m = costs.shape
    row_prices, column_prices = np.zeros(n + 1), np.zeros(m + 1)
    row_of = np.zeros(m + 1, np.int64)
    for row in range(1, n + 1):
        row_of[0] = row
        column, came_from = 0, np.zeros(m + 1, np.int64)
        least, done = np.full(m + 1, np.inf), np.zeros(m + 1, np.bool_)
        while row_of[column]:
            done[column] = True
            here = row_of[column]
            price = costs[here - 1] - row_prices[here] - column_prices[1:]
            better = ~done[1:] & (price < least[1:])
            least[1:][better] = price[better]
            came_from[1:][better] = column
            column = int(np.where(done, np.inf, least).argmin())
            step = least[column]
            row_prices[row_of[done]] += step
            column_prices[done] -= step
            least[~done] -= step
        while column:
            before = int(came_from[column])
            row_of[column] = row_of[before]
            column = before
    result = [0] * n
    for column in range(1, m + 1):
        if row_of[column]:
            result[int(row_of[column]) - 1] = column - 1
    return result
