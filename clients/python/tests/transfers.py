"""Money goes from one database to the other, through a cluster that runs: `synod dev` with two databases.

    transfers.py FOLDER ACCOUNTS ORDERS

FOLDER is that of the client; the others are the databases of participants 11 and 12. What was seen is printed as lines, for the
test that runs this to check. When it says `kill`, one of the members is killed, and it goes on when a line comes.
"""

import sys
import threading
import time
from pathlib import Path

import psycopg

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import interrupted
from synod import Aborted, Client, Outcome, Phase, Refused, Synod, SynodError, TxId, Unknown
from synod.postgres import Postgres


def standby(operator, setting, shown):
    """Changes a setting of the server, and waits until it holds."""
    operator.execute(f"ALTER SYSTEM {setting}")
    operator.execute("SELECT pg_reload_conf()")
    while operator.execute("SHOW synchronous_standby_names").fetchone()[0] != shown:
        time.sleep(0.02)


def main():
    interrupted.check()
    folder, *urls = sys.argv[1:]
    client = Client.from_folder(folder, patience=20.0, attempt=2.0)
    synod = Synod(client)
    accounts, orders = (Postgres(url, participant) for url, participant in zip(urls, (11, 12)))

    def buy(price):
        with synod.transaction() as tx:
            tx.on(accounts).execute("UPDATE account SET balance = balance - %s WHERE name = 'ann'", (price,))
            tx.on(orders).execute("INSERT INTO purchase VALUES ('ann', %s)", (price,))

    def books():
        with synod.transaction() as tx:
            (balance,) = tx.on(accounts).execute("SELECT balance FROM account").fetchone()
            (count, spent) = tx.on(orders).execute("SELECT count(*), coalesce(sum(price), 0) FROM purchase").fetchone()
        return balance, count, spent

    def say(*words):
        print(*words, flush=True)

    buy(30)
    buy(20)
    say("bought", *books())

    # A statement that fails, an exception of the application's own, and a constraint that is checked at the end.
    for what in ("statement", "exception", "deferred"):
        try:
            with synod.transaction() as tx:
                tx.on(orders).execute("INSERT INTO purchase VALUES ('ann', 1)")
                if what == "statement":
                    tx.on(accounts).execute("UPDATE account SET balance = balance - 1000")
                elif what == "exception":
                    raise RuntimeError("the application changes its mind")
                else:
                    tx.on(accounts).execute("INSERT INTO note VALUES (1), (1)")
        except Aborted as error:
            say("rolled-back", what, type(error).__name__, client.outcome(error.tx).value)
        except (psycopg.Error, RuntimeError) as error:
            say("rolled-back", what, type(error).__name__)
    say("unchanged", *books())

    # One database only: one plain commit, and no transaction of the cluster.
    with synod.transaction() as tx:
        tx.on(accounts).execute("UPDATE account SET balance = balance + 5")
    say("alone", *books())

    swapped = Postgres(urls[1], 11)
    try:
        with synod.transaction() as tx:
            tx.on(swapped).execute("INSERT INTO purchase VALUES ('ann', 1)")
            tx.on(orders).execute("INSERT INTO purchase VALUES ('ann', 1)")
    except Aborted as error:
        say("swapped", "two addresses swapped" in str(error))

    # More participants than the name of a branch has room for. Its agent reads who they are, and asks how this ended.
    many = client.names(1)
    branch = accounts.open()
    branch.execute("UPDATE account SET balance = balance - 1")
    branch.prepare(client.cluster, many.first, many.epoch, [11, *range(2**63, 2**63 + 12)])
    prepared = "SELECT count(*), (SELECT count(*) FROM synod.participants) FROM pg_prepared_xacts WHERE database = current_database()"
    with psycopg.connect(urls[0], autocommit=True) as database:
        before = database.execute(prepared).fetchone()
        while database.execute(prepared).fetchone()[0]:
            time.sleep(0.1)
    branch.finish(Outcome.ABORTED)
    say("many", *before, client.outcome(many.first).value)

    # The server answers to a wait for its standby that somebody cancels as if the standby had it: that is no answer.
    with psycopg.connect(urls[0], autocommit=True) as operator:
        standby(operator, "SET synchronous_standby_names = 'missing'", "missing")
        cancelled = threading.Event()

        def cancel():
            while not cancelled.wait(0.02):
                operator.execute("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")

        canceller = threading.Thread(target=cancel)
        canceller.start()
        hasty = Postgres(urls[0], 11, wait=1.0)
        try:
            with synod.transaction() as tx:
                tx.on(hasty).execute("UPDATE account SET balance = balance")
        except SynodError as error:
            say("standby", type(error).__name__)
        cancelled.set()
        canceller.join()
        standby(operator, "RESET synchronous_standby_names", "")

    own = client.names(1)
    tx = client.begin([11, 12], id=own.first, epoch=own.epoch)
    client.begin([11, 12], id=own.first, epoch=own.epoch)
    say("nobody-prepared", client.outcome(tx).value)
    try:
        client.begin([11, 12], b"other", id=own.first, epoch=own.epoch)
    except Refused as error:
        say("again", error.reason)
    never = TxId(1, 1 << 40)
    say("never", client.status(never).phase is Phase.UNKNOWN)
    try:
        client.inquire(never)
    except Unknown as error:
        say("inquire", error.reason)
    members = client.members()
    say("members", members.epoch, *members.managers)

    say("kill")
    sys.stdin.readline()
    for _ in range(20):
        buy(1)
    say("went-on", *books())

    nobody = Client(client.cluster, {1: "127.0.0.1:1"}, patience=1.0)
    try:
        nobody.names(1)
    except SynodError as error:
        say("nobody", type(error).__name__)
    client.close()
    accounts.close()
    orders.close()


main()
