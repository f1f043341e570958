"""Commits a transaction for each line that it reads, whoever the transaction managers are by then.

    follows.py FOLDER CLUSTER NODE=ADDRESS,NODE=ADDRESS... PARTICIPANT...

FOLDER has authority.pem, client.pem and client.key, for client 9; CLUSTER is the cluster in hexadecimal, and NODE the number of the
transaction manager at ADDRESS.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from synod import Client, OldEpoch, Outcome, Tls, TxId

CLIENT = 9


def main():
    folder, cluster, managers, *participants = sys.argv[1:]
    participants = [int(participant) for participant in participants]
    nodes = {int(node): address for node, address in (manager.split("=") for manager in managers.split(","))}
    tls = Tls.from_files(*(Path(folder) / name for name in ("authority.pem", "client.pem", "client.key")))
    seq = 0
    with Client(cluster, nodes, tls, patience=60.0) as client:
        print("ready", flush=True)
        while sys.stdin.readline():
            outcome = None
            while outcome is not Outcome.COMMITTED:
                seq += 1
                own = TxId(CLIENT, seq)
                try:
                    client.begin(participants, id=own, epoch=client.epoch)
                    outcome = client.outcome(own)
                except OldEpoch:
                    # It has not committed, and never will: under a new name it may.
                    pass
            print("committed", seq, client.epoch, *sorted(client.nodes), flush=True)


main()
