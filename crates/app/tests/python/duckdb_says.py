"""Runs statements in DuckDB: FILE. Writes a line for each row of the last one, columns parted by |."""

import pathlib
import sys

import duckdb

(statements,) = sys.argv[1:]
rows = duckdb.connect().execute(pathlib.Path(statements).read_text()).fetchall()
for row in rows:
    print("|".join(str(column) for column in row))
