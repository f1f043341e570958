------------------------------ MODULE Snapshots ------------------------------
(***************************************************************************)
(* What nodes remember of epochs that have ended.                          *)
(*                                                                         *)
(* One transaction of epoch 0 has committed.  A node knows its epoch,      *)
(* whether the transaction is in its `committed`, and whether it is in its *)
(* retired ranges.  A node that knows neither, in a later epoch, answers   *)
(* that the transaction aborted, which must never happen.                  *)
(*                                                                         *)
(* Members learn a new epoch from the ending that its decree chose; all    *)
(* others from snapshots.  A snapshot is never lost, and can arrive when   *)
(* it is old.  There are two changes of the membership.                    *)
(***************************************************************************)
EXTENDS Integers, FiniteSets, TLC

CONSTANTS
  Members,    \* nodes of epoch 0
  Newcomers,  \* nodes that know no epoch at first
  Fault       \* the planted fault; "none" is the protocol

VARIABLES
  node,           \* what each node remembers
  first, second,  \* the chosen endings of epochs 0 and 1; "none" as long as there is none
  finished,       \* has every participant finished?
  sent            \* snapshots

vars == <<node, first, second, finished, sent>>

EndingWithoutRetired   == Fault = "a node ignores the retired ranges of the ending"
SnapshotWithoutRetired == Fault = "a snapshot leaves out the retired ranges"
CommittedReplaced      == Fault = "committed is replaced instead of merged"
CommittedCutFirst      == Fault = "committed is cut before the retired ranges are durable"
OldSnapshotTaken       == Fault = "a snapshot of a lower epoch is taken"
RetiresEarly           == Fault = "a node retires what not everybody has finished"

Nodes == Members \cup Newcomers
Memory(e, c, r) == [epoch |-> e, committed |-> c /\ ~r, retired |-> r]

Init ==
  /\ node = [n \in Nodes |-> Memory(IF n \in Members THEN 0 ELSE -1, FALSE, FALSE)]
  /\ first = "none" /\ second = "none"
  /\ finished = FALSE
  /\ sent = {}

\* A decree's ending says "retired" only if a node that reports has it so.  It may miss the others' word.
EndFirst ==
  /\ first = "none"
  /\ first' \in {"committed"} \cup (IF \E n \in Members : node[n].retired THEN {"retired"} ELSE {})
  /\ UNCHANGED <<node, second, finished, sent>>

EndSecond ==
  /\ second = "none"
  /\ \E n \in Nodes : node[n].epoch = 1
  /\ second' \in {"silent"} \cup (IF \E n \in Nodes : node[n].epoch = 1 /\ node[n].retired THEN {"retired"} ELSE {})
  /\ UNCHANGED <<node, first, finished, sent>>

LearnFirst(n) ==
  /\ first # "none" /\ node[n].epoch = 0
  /\ node' = [node EXCEPT ![n] = Memory(1, first = "committed", @.retired \/ (first = "retired" /\ ~EndingWithoutRetired))]
  /\ UNCHANGED <<first, second, finished, sent>>

LearnSecond(n) ==
  /\ second # "none" /\ node[n].epoch = 1
  /\ node' = [node EXCEPT ![n] = Memory(2, @.committed /\ ~CommittedReplaced, @.retired \/ second = "retired")]
  /\ UNCHANGED <<first, second, finished, sent>>

Send(n) ==
  /\ node[n].epoch > 0
  /\ sent' = sent \cup {[node[n] EXCEPT !.retired = @ /\ ~SnapshotWithoutRetired]}
  /\ UNCHANGED <<node, first, second, finished>>

Receive(n) ==
  \E s \in sent :
    /\ s.epoch > node[n].epoch \/ (OldSnapshotTaken /\ s.epoch < node[n].epoch)
    /\ node' = [node EXCEPT ![n] = Memory(s.epoch, @.committed \/ s.committed, @.retired \/ s.retired)]
    /\ UNCHANGED <<first, second, finished, sent>>

Finish ==
  /\ ~finished
  /\ finished' = TRUE
  /\ UNCHANGED <<node, first, second, sent>>

Retire(n) ==
  /\ finished \/ RetiresEarly
  /\ node[n].epoch >= 0 /\ ~node[n].retired
  /\ node' = [node EXCEPT ![n] = Memory(@.epoch, @.committed, TRUE)]
  /\ UNCHANGED <<first, second, finished, sent>>

\* A crash in the middle of a write that cuts `committed` first.
CrashWhileRetiring(n) ==
  /\ CommittedCutFirst /\ finished /\ node[n].committed
  /\ node' = [node EXCEPT ![n] = Memory(@.epoch, FALSE, FALSE)]
  /\ UNCHANGED <<first, second, finished, sent>>

Next ==
  \/ EndFirst
  \/ EndSecond
  \/ Finish
  \/ \E n \in Nodes : \/ LearnFirst(n) \/ LearnSecond(n) \/ Send(n) \/ Receive(n) \/ Retire(n) \/ CrashWhileRetiring(n)
Spec == Init /\ [][Next]_vars
-----------------------------------------------------------------------------
NothingLost == \A n \in Nodes : node[n].epoch > 0 => node[n].committed \/ node[n].retired

RetiredIsFinished == \A n \in Nodes : node[n].retired => finished

EpochsRise == [][\A n \in Nodes : node'[n].epoch >= node[n].epoch]_vars

Alike == Permutations(Members) \cup Permutations(Newcomers)
=============================================================================
