"""Many files at once, on one machine or several: results as Parquet, resumed runs."""
