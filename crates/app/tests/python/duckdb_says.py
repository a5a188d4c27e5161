"""Runs statements in DuckDB: FILE [QUERY]. Writes a line for each row of the last one, columns parted
by |."""

import pathlib
import sys

import duckdb

statements, *query = sys.argv[1:]
found = duckdb.connect().execute(pathlib.Path(statements).read_text())
for further in query:
    found.execute(further)
for row in found.fetchall():
    print("|".join(str(column) for column in row))
