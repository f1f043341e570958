"""A client that knows nothing of the library but its .proto files.

It makes its stubs from them, begins transactions at a running node over mutual TLS, and reads how they ended. What it
did, it prints as lines of `key value`, for the test that runs it to check against the nodes. When it says `restart`, it
waits for a line, and the nodes have restarted then.

    client.py PROTO NODE CLUSTER ADDRESS FOLDER PARTICIPANT...

PROTO is the folder of the .proto files; NODE the number of the node at ADDRESS, and CLUSTER its cluster in hexadecimal;
FOLDER has authority.pem, client.pem and client.key, for client 9.
"""

import importlib
import socket
import sys
import tempfile
import time
from pathlib import Path

import grpc
from grpc_tools import protoc

CLIENT = 9
# How long a call takes at most, connecting included, and how long it takes where there is another node to turn to.
PATIENCE = 60
ATTEMPT = 5


def stubs(proto):
    """The modules that protoc makes: of messages, and of the services for clients and for managers."""
    made = tempfile.mkdtemp()
    files = [str(file) for file in sorted(Path(proto).glob("synod/v1/*.proto"))]
    arguments = ["protoc", f"--proto_path={proto}", f"--python_out={made}", f"--grpc_python_out={made}", *files]
    if protoc.main(arguments) != 0:
        sys.exit("protoc failed")
    sys.path.insert(0, made)
    return [importlib.import_module(f"synod.v1.{name}") for name in (
        "types_pb2", "transactions_pb2", "transactions_pb2_grpc", "roles_pb2", "roles_pb2_grpc")]


def refused(call, request):
    """The code with which `call` refuses `request`, and the node's reason, if it is the node that says no."""
    try:
        answer = call(request, timeout=PATIENCE)
    except grpc.RpcError as error:
        said = dict(error.trailing_metadata() or ())
        return " ".join([error.code().name, *([said["synod-reason"]] if "synod-reason" in said else [])])
    sys.exit(f"not refused, but answered: {answer}")


def safely(nodes, call, request):
    """The answer to `call`, which is harmless when it is made twice, of the first of `nodes` that gives one in time."""
    for node in nodes:
        try:
            return getattr(node, call)(request, timeout=ATTEMPT)
        except grpc.RpcError as error:
            if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise
    sys.exit(f"no node answered {call}")


def main():
    proto, node, cluster, address, folder, *participants = sys.argv[1:]
    participants = [int(participant) for participant in participants]
    types, transactions, transactions_grpc, roles, roles_grpc = stubs(proto)

    pem = {name: (Path(folder) / name).read_bytes() for name in ("authority.pem", "client.pem", "client.key")}
    credentials = grpc.ssl_channel_credentials(pem["authority.pem"], pem["client.key"], pem["client.pem"])
    # The node is known by its name in the cluster, wherever it is.
    options = [("grpc.ssl_target_name_override", f"node-{node}.{cluster}.synod")]
    with grpc.secure_channel(address, credentials, options) as channel:
        node_at = transactions_grpc.TransactionsStub(channel)

        def ended(**begin):
            begun = node_at.Begin(transactions.BeginRequest(participants=participants, **begin), timeout=PATIENCE)
            reply = node_at.Outcome(transactions.OutcomeRequest(id=begun.id), timeout=PATIENCE)
            return f"{begun.id.origin} {begun.id.seq} {types.Outcome.Name(reply.outcome)}"

        print("possible", ended(meta=b"from Python"))
        print("impossible", ended(meta=b"impossible"))
        print("own-name", ended(id=types.TxId(origin=CLIENT, seq=1)))

        # A node that is there and says nothing is given up, and the next one is asked.
        silent = socket.create_server(("127.0.0.1", 0))
        with grpc.secure_channel(f"127.0.0.1:{silent.getsockname()[1]}", credentials, options) as nobody:
            nodes = [transactions_grpc.TransactionsStub(nobody), node_at]
            own = types.TxId(origin=CLIENT, seq=2)
            safely(nodes, "Begin", transactions.BeginRequest(participants=participants, id=own))
            outcome = safely([node_at], "Outcome", transactions.OutcomeRequest(id=own)).outcome
            print("turned", types.Outcome.Name(outcome))

        unknown = types.TxId(origin=CLIENT, seq=1 << 40)
        status = node_at.Status(transactions.StatusRequest(id=unknown), timeout=PATIENCE)
        print("unknown", transactions.Phase.Name(status.phase))
        print("not-open", refused(node_at.Inquire, transactions.InquireRequest(id=unknown)))
        own = types.TxId(origin=CLIENT, seq=1)
        while transactions.Phase.Name(node_at.Status(transactions.StatusRequest(id=own), timeout=PATIENCE).phase) != (
            "PHASE_RETIRED"
        ):
            time.sleep(0.01)
        again = transactions.BeginRequest(participants=participants, id=own)
        print("over", refused(node_at.Begin, again))
        print("in-doubt", len(node_at.InDoubt(transactions.InDoubtRequest(), timeout=PATIENCE).in_doubt))
        print("nobody", refused(node_at.Begin, transactions.BeginRequest()))
        forged = transactions.BeginRequest(participants=participants, id=types.TxId(origin=int(node), seq=1 << 40))
        print("forged", refused(node_at.Begin, forged))
        print("not-a-node", refused(roles_grpc.ManagerStub(channel).Begin, roles.ContentRequest()))

        # Three answers that are not the same: whoever takes "it is over" for "never heard of it" pays twice.
        print("restart", flush=True)
        sys.stdin.readline()

        def answer(call, request):
            while "UNAVAILABLE" in (said := refused(call, request)):
                time.sleep(0.01)
            return said

        print("forgotten", answer(node_at.Outcome, transactions.OutcomeRequest(id=own)))
        print("unknown", answer(node_at.Inquire, transactions.InquireRequest(id=unknown)))
        print("refused", answer(node_at.Begin, again))


main()
