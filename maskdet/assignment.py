"""The best pairing of two groups, exactly (Kuhn 1955), NumPy only.

Written here because SciPy, which has it, would be a new dependency for one function.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

UNMATCHED = -1
"""Who is paired with no one."""


def max_weight_assignment(gains: NDArray[np.float64]) -> NDArray[np.int64]:
    """Pair rows with columns so that the sum of the gains is as large as can be.

    Nobody has to be paired: only pairs with a gain above 0 are ever made.

    Args:
        gains: `(n, m)` finite, what it is worth to pair each row with each column.

    Returns:
        `(n,)` the column of each row, `UNMATCHED` for none.
    """
    gains = np.asarray(gains, dtype=np.float64)
    pairs = np.full(len(gains), UNMATCHED, np.int64)
    rows, columns = np.nonzero(gains > 0)
    # Groups that share no possible pair are solved alone: most are one of each.
    for group_rows, group_columns in _connected_components(
        rows.tolist(), columns.tolist()
    ):
        if len(group_rows) == len(group_columns) == 1:
            pairs[group_rows[0]] = group_columns[0]
            continue
        if len(group_rows) == 1 or len(group_columns) == 1:
            group_gains = gains[np.ix_(group_rows, group_columns)]
            best = np.unravel_index(int(group_gains.argmax()), group_gains.shape)
            pairs[group_rows[int(best[0])]] = group_columns[int(best[1])]
            continue
        group_gains = np.maximum(gains[np.ix_(group_rows, group_columns)], 0.0)
        is_transposed = len(group_rows) > len(group_columns)
        column_of_row = _min_cost_assignment(
            -group_gains.T if is_transposed else -group_gains
        )
        for first, second in enumerate(column_of_row):
            row, column = (second, first) if is_transposed else (first, second)
            if group_gains[row, column] > 0:
                pairs[group_rows[row]] = group_columns[column]
    return pairs


def _connected_components(
    rows: list[int], columns: list[int]
) -> list[tuple[list[int], list[int]]]:
    """Return rows and columns of each group that possible pairs hold together."""
    columns_of_row: dict[int, list[int]] = {}
    rows_of_column: dict[int, list[int]] = {}
    for row, column in zip(rows, columns, strict=True):
        columns_of_row.setdefault(row, []).append(column)
        rows_of_column.setdefault(column, []).append(row)
    groups = []
    unvisited = set(columns_of_row)
    for start in columns_of_row:
        if start not in unvisited:
            continue
        group_rows, group_columns, stack = [], set[int](), [start]
        unvisited.discard(start)
        while stack:
            row = stack.pop()
            group_rows.append(row)
            for column in columns_of_row[row]:
                if column not in group_columns:
                    group_columns.add(column)
                    more = [
                        other for other in rows_of_column[column] if other in unvisited
                    ]
                    unvisited.difference_update(more)
                    stack += more
        groups.append((sorted(group_rows), sorted(group_columns)))
    return groups


def _min_cost_assignment(costs: NDArray[np.float64]) -> list[int]:
    """Give each row its own column at the least total cost; n must not exceed m.

    Shortest augmenting paths with potentials (Jonker & Volgenant 1987). Column 0 of
    the arrays is where each search starts.
    """
    n, m = costs.shape
    row_potentials, column_potentials = np.zeros(n + 1), np.zeros(m + 1)
    row_of_column = np.zeros(m + 1, np.int64)
    for row in range(1, n + 1):
        row_of_column[0] = row
        column, predecessors = 0, np.zeros(m + 1, np.int64)
        min_costs, visited = np.full(m + 1, np.inf), np.zeros(m + 1, np.bool_)
        while row_of_column[column]:
            visited[column] = True
            current_row = row_of_column[column]
            reduced_costs = (
                costs[current_row - 1]
                - row_potentials[current_row]
                - column_potentials[1:]
            )
            better = ~visited[1:] & (reduced_costs < min_costs[1:])
            min_costs[1:][better] = reduced_costs[better]
            predecessors[1:][better] = column
            column = int(np.where(visited, np.inf, min_costs).argmin())
            delta = min_costs[column]
            row_potentials[row_of_column[visited]] += delta
            column_potentials[visited] -= delta
            min_costs[~visited] -= delta
        while column:
            previous_column = int(predecessors[column])
            row_of_column[column] = row_of_column[previous_column]
            column = previous_column
    result = [0] * n
    for column in range(1, m + 1):
        if row_of_column[column]:
            result[int(row_of_column[column]) - 1] = column - 1
    return result
