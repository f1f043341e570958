"""Who may do what in the store of participant 13: with the certificates in synod-data, of clients and nodes.

    strangers.py ADDRESS
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import grpc

from synod import Client, SynodError, Tls
from synod.store import NotStaged, Store
from synod.v1 import store_pb2 as v1
from synod.v1 import types_pb2 as types

(address,) = sys.argv[1:]
client = Client.from_folder("synod-data/client-1000")
name = types.TxId(origin=1000, seq=1)


def store(tls, participant=13):
    return Store(Client(client.cluster, client.nodes, tls), address, participant, wait=2.0)


def ask(who, call, request):
    try:
        answer = getattr(who[1]._stub, call)(request, timeout=10.0)
        print(who[0], call, v1.Stage.Name(answer.stage) if call == "Stage" else "done")
    except grpc.RpcError as error:
        print(who[0], call, error.code().name)


app = "client-1000", Store(client, address, 13)
agent = app[1]._agent
stage = v1.StageRequest(agent=agent, id=name, content=b"1")
ask(app, "Stage", stage)
ask(app, "Stage", stage)
ask(app, "Stage", v1.StageRequest(agent=agent, id=name, content=b"2"))
ask(app, "Staged", v1.ListRequest(agent=agent))
transaction = types.Transaction(id=name, participants=[13])
ask(app, "Prepare", v1.WorkRequest(agent=agent, transaction=transaction, meta=b"1"))
ask(app, "Abort", v1.EndRequest(agent=agent, id=name))
ask(app, "Unstage", v1.UnstageRequest(agent=agent, ids=[name]))
ask(app, "Stage", v1.StageRequest(agent=agent, id=name, content=bytes((1 << 20) + 1)))
for node in 11, 13:
    own = f"node-{node}", store(Tls.from_folder("synod-data", node))
    ask(own, "Stage", stage)
    ask(own, "Unstage", v1.UnstageRequest(agent=agent, ids=[name]))

# The store says whose it is by its certificate, before it is asked anything.
try:
    Store(client, address, 12, wait=1.0).open()
except SynodError as error:
    print("as-12 refused", not isinstance(error, NotStaged))
try:
    Store(client, "127.0.0.1:1", 13, wait=0.5).open()
except SynodError as error:
    print("elsewhere", isinstance(error, NotStaged))
try:
    store(None).open()
except SynodError as error:
    print("nobody", "does not answer" in str(error))
