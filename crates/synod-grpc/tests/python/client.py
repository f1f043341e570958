"""A client that knows nothing of the library but its .proto files.

It makes its stubs from them, begins transactions at running nodes over mutual TLS, and reads how they ended. What it
did, it prints as lines of `key value`, for the test that runs it to check against the nodes.

    client.py calls PROTO FOLDER CLUSTER NODE=ADDRESS PARTICIPANT...
    client.py follows PROTO FOLDER CLUSTER NODE=ADDRESS,NODE=ADDRESS... PARTICIPANT...

`calls` makes every call. When it says `restart`, it waits for a line, and the nodes have restarted then. `follows` commits
a transaction for every line that it reads, whoever the transaction managers are by then.

PROTO is the folder of the .proto files; FOLDER has authority.pem, client.pem and client.key, for client 9; CLUSTER is the
cluster in hexadecimal, and NODE the number of the node at ADDRESS.
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


def reason(error):
    """Why the node says no, if it is the node."""
    return dict(error.trailing_metadata() or ()).get("synod-reason")


class Client:
    """The way to the transaction managers, whoever they are.

    A call turns to the next one where one gives no answer. Any answer says in which epoch the node is. When that is a later
    one than before, the node is asked for the members, and from then on the managers of that epoch are turned to.
    """

    def __init__(self, stubs, connect, managers):
        self.types, self.transactions, self.transactions_grpc, *_ = stubs
        self.connect = connect
        self.epoch = 0
        # Node by node its address and its stub, first the one that answered last.
        self.managers = {}
        for node, address in managers.items():
            self.add(node, address)

    def add(self, node, address):
        if node not in self.managers or self.managers[node][0] != address:
            self.managers[node] = (address, self.transactions_grpc.TransactionsStub(self.connect(node, address)))

    def call(self, name, request):
        """The answer to a call that is harmless when it is made twice. An error says whether an earlier answer was `lost`."""
        end, lost = time.monotonic() + PATIENCE, False
        while time.monotonic() < end:
            for node, (_, stub) in list(self.managers.items()):
                try:
                    answer, call = getattr(stub, name).with_call(request, timeout=ATTEMPT)
                except grpc.RpcError as error:
                    self.hear(stub, error.trailing_metadata())
                    # It is there, and another one may be further, or be a manager.
                    if reason(error) in ("REASON_NEWER_EPOCH", "REASON_CHANGING", "REASON_NOT_A_MANAGER"):
                        continue
                    if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                        lost = True
                        continue
                    error.lost = lost
                    raise
                self.hear(stub, call.initial_metadata())
                if node in self.managers:
                    self.managers = {node: self.managers.pop(node), **self.managers}
                return answer
            time.sleep(0.01)
        sys.exit(f"no node answered {name}")

    def hear(self, stub, metadata):
        """Learns the managers if this answer of a node is of a later epoch than all before."""
        if int(dict(metadata or ()).get("synod-epoch", 0)) <= self.epoch:
            return
        try:
            reply = stub.Members(self.transactions.MembersRequest(), timeout=ATTEMPT)
        except grpc.RpcError:
            # The next answer has it asked again.
            return
        if not reply.HasField("epoch") or reply.epoch <= self.epoch:
            return
        self.epoch = reply.epoch
        addresses = {contact.node: contact.contact.decode() for contact in reply.membership.contacts}
        for manager in reply.membership.managers:
            if manager in addresses:
                self.add(manager, addresses[manager].removeprefix("https://").rstrip("/"))
        staying = {node: way for node, way in self.managers.items() if node not in reply.left}
        # Whoever has left may still answer, and is better than nobody.
        self.managers = staying or self.managers

    def make(self, participants, tx):
        """Has a transaction of this name made. Returns how it ended; `None` if the epoch of the name is over, so that it has
        not committed and never will."""
        begin = self.transactions.BeginRequest(participants=participants, id=tx, epoch=self.epoch)
        try:
            self.call("Begin", begin)
        except grpc.RpcError as error:
            if reason(error) == "REASON_OLD_EPOCH":
                return None
            # Over, and an answer was lost: it is this very call that has begun it.
            if reason(error) != "REASON_OVER" or not error.lost:
                raise
        return self.types.Outcome.Name(self.call("Outcome", self.transactions.OutcomeRequest(id=tx)).outcome)


def main():
    what, proto, folder, cluster, managers, *participants = sys.argv[1:]
    participants = [int(participant) for participant in participants]
    managers = {int(node): address for node, address in (manager.split("=") for manager in managers.split(","))}
    made = stubs(proto)

    pem = {name: (Path(folder) / name).read_bytes() for name in ("authority.pem", "client.pem", "client.key")}
    credentials = grpc.ssl_channel_credentials(pem["authority.pem"], pem["client.key"], pem["client.pem"])

    def connect(node, address):
        # The node is known by its name in the cluster, wherever it is.
        options = [("grpc.ssl_target_name_override", f"node-{node}.{cluster}.synod")]
        return grpc.secure_channel(address, credentials, options)

    {"calls": calls, "follows": follows}[what](made, connect, managers, participants)


def follows(made, connect, managers, participants):
    """Commits a transaction for each line that it reads."""
    client, types, seq = Client(made, connect, managers), made[0], 0
    print("ready", flush=True)
    while sys.stdin.readline():
        outcome = None
        while outcome != "OUTCOME_COMMITTED":
            seq += 1
            outcome = client.make(participants, types.TxId(origin=CLIENT, seq=seq))
        print("committed", seq, client.epoch, *sorted(client.managers), flush=True)


def calls(made, connect, managers, participants):
    """Makes every call, at one node."""
    types, transactions, transactions_grpc, roles, roles_grpc = made
    [(node, address)] = managers.items()
    with connect(node, address) as channel:
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
        nobody = {0: f"127.0.0.1:{silent.getsockname()[1]}"}
        client = Client(made, connect, nobody | managers)
        print("turned", client.make(participants, types.TxId(origin=CLIENT, seq=2)))

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
        forged = transactions.BeginRequest(participants=participants, id=types.TxId(origin=node, seq=1 << 40))
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
