"""Transactions among the stores of participants 11 and 12, through a cluster that runs.

    stores.py FOLDER

FOLDER is that of the client. For each line that it reads it begins a transaction about that line, and prints the line and how it ended.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from synod import Client


def main():
    (folder,) = sys.argv[1:]
    client = Client.from_folder(folder, patience=60.0, attempt=5.0)

    def enter(line):
        about = line.strip()
        tx = client.begin([11, 12], about.encode())
        # One write: threads share the output.
        sys.stdout.write(f"{about} {client.outcome(tx).value}\n")

    with ThreadPoolExecutor(8) as workers:
        list(workers.map(enter, sys.stdin))
    client.close()


main()
