------------------------------ MODULE Handover ------------------------------
(***************************************************************************)
(* How an epoch of the membership ends, for one transaction of it.         *)
(*                                                                         *)
(* The acceptors Old run Paxos Commit: an instance of Paxos for each       *)
(* participant.  They also run one decree more, the handover.  An acceptor *)
(* that promises or accepts anything in the handover is frozen: from then  *)
(* on it takes nothing in the instances.  Its promise carries a report of  *)
(* what it accepted in them.  The decree's value, the *ending*, follows    *)
(* from the reports of a phase-1 quorum and settles the transaction:       *)
(* "committed"; "retired" (everybody has finished, nobody asks any more);  *)
(* or "neither", which means aborted.                                      *)
(*                                                                         *)
(* The acceptors New of the next epoch learn the ending; as soon as a      *)
(* quorum of them knows it, the machines of Old are switched off.  The     *)
(* same happens once more between New and Newest.                          *)
(*                                                                         *)
(* Messages are never lost or consumed: a message is the state of its      *)
(* sender, which anyone can read at any later time.  All state is durable, *)
(* so a restart changes nothing and is no step, except in the faults.      *)
(***************************************************************************)
EXTENDS Integers, FiniteSets, TLC

CONSTANTS
  Voters,     \* participants that have yet to vote; each has an instance
  Settled,    \* participants whose instance chose "prepared" before the model starts
  Old,        \* acceptors of the epoch that ends, which is the transaction's
  Late,       \* the part of Old that has yet to learn that this epoch began
  New,        \* acceptors of the next epoch
  Newest,     \* acceptors of the epoch after the next; may be empty
  TopBallot,  \* the instances have the ballots 0..TopBallot
  TopRound,   \* the handover has the ballots 1..TopRound, called rounds here
  Flexible,   \* quorums of Old: FALSE is majorities; TRUE is all of Old in phase 1, any one in phase 2
  Repeats,    \* TRUE: a repeated request for a promise of a round is answered again, from what is known by then
  Dead,       \* acceptors that never do anything
  Fault       \* the planted fault; "none" is the protocol

VARIABLES
  \* Paxos Commit
  status,     \* of each participant: "working", "prepared", "committed", "aborted"
  vote,       \* of each participant, which is its proposal at ballot 0: "none", "prepared", "aborted"
  promised,   \* of each acceptor and voter: the highest ballot promised or accepted
  accepted,   \* of each acceptor and voter: all ballots accepted
  proposal,   \* of each voter and ballot above 0: "none", "prepared", "aborted"
  \* The handover
  round,      \* of each acceptor: the highest round promised or accepted; above 0 is frozen
  thawed,     \* acceptors that were frozen and act as if they were not: faults only
  report,     \* of each acceptor and round: what it reported with its promise
  ending,     \* proposed in each round: "none", "committed", "retired", "neither"
  endorsed,   \* of each acceptor: all rounds accepted
  \* What remains afterwards
  retired,    \* of each acceptor: does it know that the transaction is over everywhere?
  newKnows, newestKnows,  \* which acceptors of the later epochs have learned the ending
  oldGone, newGone,       \* are the machines of this epoch switched off?
  \* Acceptors that begin late, or lose their disk
  joined,     \* of each acceptor: does it know that its epoch began?
  lost        \* of each acceptor and voter: ballots that it accepted, and forgot: faults only

instances == <<status, vote, promised, accepted, proposal>>
decree    == <<round, thawed, report, ending, endorsed>>
chain     == <<newKnows, newestKnows, oldGone, newGone>>
disks     == <<joined, lost>>
vars      == <<instances, decree, retired, chain, disks>>

FreezeForgotten     == Fault = "an acceptor forgets at a restart that it is frozen"
FreezeEndsEarly     == Fault = "a chosen ending ends the freeze"
FrozenTakes         == Fault = "a frozen acceptor takes votes and promises"
TooFewReports       == Fault = "an ending from fewer reports than a quorum's"
ActsOnProposal      == Fault = "a proposed ending is acted on"
HeldEndingIgnored   == Fault = "an ending that was accepted already is ignored"
LowestReported      == Fault = "the lowest ballot is reported, not the highest"
ReportLeavesOut     == Fault = "a report leaves out a vote that was told already"
OnePreparedIsEnough == Fault = "committed with one of two instances prepared"
RetiredLeftOut      == Fault = "the ending leaves out what is retired"
OffAfterOneNote     == Fault = "machines go off after one note"
ActsBeforeJoining   == Fault = "an acceptor acts before it has joined, and loses that as it joins"
BlankDisk           == Fault = "a blank disk comes back under its old name"
RetiresEarly        == Fault = "an acceptor retires what not everybody has finished"
NobodyRenews        == Fault = "nobody renews after the proposer's death"

Participants == Voters \cup Settled
Ballots      == 0..TopBallot
Rounds       == 1..TopRound
Majorities(S) == {Q \in SUBSET S : 2 * Cardinality(Q) > Cardinality(S)}
ReadQuorums   == IF Flexible THEN {Old} ELSE Majorities(Old)               \* phase 1
WriteQuorums  == IF Flexible THEN {{a} : a \in Old} ELSE Majorities(Old)   \* phase 2
Highest(S)    == CHOOSE x \in S : \A y \in S : y <= x
Lowest(S)     == CHOOSE x \in S : \A y \in S : x <= y

Init ==
  /\ status   = [p \in Participants |-> IF p \in Settled THEN "prepared" ELSE "working"]
  /\ vote     = [p \in Participants |-> IF p \in Settled THEN "prepared" ELSE "none"]
  /\ promised = [a \in Old |-> [v \in Voters |-> 0]]
  /\ accepted = [a \in Old |-> [v \in Voters |-> {}]]
  /\ proposal = [v \in Voters |-> [b \in 1..TopBallot |-> "none"]]
  /\ round    = [a \in Old |-> 0]
  /\ thawed   = [a \in Old |-> FALSE]
  /\ report   = [a \in Old |-> [n \in Rounds |-> [tells |-> "nothing"]]]
  /\ ending   = [n \in Rounds |-> "none"]
  /\ endorsed = [a \in Old |-> {}]
  /\ retired  = [a \in Old |-> FALSE]
  /\ newKnows = [a \in New |-> FALSE]
  /\ newestKnows = [a \in Newest |-> FALSE]
  /\ oldGone  = FALSE
  /\ newGone  = FALSE
  /\ joined   = [a \in Old |-> a \notin Late]
  /\ lost     = [a \in Old |-> [v \in Voters |-> {}]]

Runs(a)   == ~oldGone \/ a \in New
Frozen(a) == round[a] > 0 /\ ~thawed[a]

\* May this acceptor take part in the instances?
MayTake(a) ==
  /\ Runs(a)
  /\ joined[a] \/ ActsBeforeJoining
  /\ ~retired[a]
  /\ ~Frozen(a) \/ FrozenTakes
  /\ a \notin Dead

\* May it take part in the handover?
MayEnd(a) == Runs(a) /\ joined[a] /\ a \notin Dead

ValueAt(v, b) == IF b = 0 THEN vote[v] ELSE proposal[v][b]
Remembers(a, v) == accepted[a][v] \ lost[a][v]

Chosen(p, value) ==
  \/ p \in Settled /\ value = "prepared"
  \/ /\ p \in Voters
     /\ \E b \in Ballots :
          /\ ValueAt(p, b) = value
          /\ \E Q \in WriteQuorums : \A a \in Q : b \in accepted[a][p]
ChosenCommit == \A p \in Participants : Chosen(p, "prepared")
ChosenAbort  == \E p \in Participants : Chosen(p, "aborted")

EndingChosen(value) ==
  \E n \in Rounds : ending[n] = value /\ \E Q \in WriteQuorums : \A a \in Q : n \in endorsed[a]
SomeEndingChosen ==
  \E n \in Rounds : ending[n] # "none" /\ \E Q \in WriteQuorums : \A a \in Q : n \in endorsed[a]
-----------------------------------------------------------------------------
(* Paxos Commit. *)

VotePrepared(v) ==
  /\ status[v] = "working"
  /\ status' = [status EXCEPT ![v] = "prepared"]
  /\ vote' = [vote EXCEPT ![v] = "prepared"]
  /\ UNCHANGED <<promised, accepted, proposal, decree, retired, chain, disks>>

VoteAborted(v) ==
  /\ status[v] = "working"
  /\ status' = [status EXCEPT ![v] = "aborted"]
  /\ vote' = [vote EXCEPT ![v] = "aborted"]
  /\ UNCHANGED <<promised, accepted, proposal, decree, retired, chain, disks>>

TakeVote(a, v) ==
  /\ MayTake(a) /\ vote[v] # "none" /\ promised[a][v] = 0 /\ 0 \notin accepted[a][v]
  /\ accepted' = [accepted EXCEPT ![a][v] = @ \cup {0}]
  /\ UNCHANGED <<status, vote, promised, proposal, decree, retired, chain, disks>>

\* One message asks for a promise in all instances.
Promise(a, b) ==
  /\ MayTake(a)
  /\ \E v \in Voters : promised[a][v] < b
  /\ promised' = [promised EXCEPT ![a] = [v \in Voters |-> IF @[v] < b THEN b ELSE @[v]]]
  /\ UNCHANGED <<status, vote, accepted, proposal, decree, retired, chain, disks>>

Propose(v, b) ==
  /\ proposal[v][b] = "none"
  /\ \E Q \in ReadQuorums :
       /\ \A a \in Q : promised[a][v] >= b
       /\ LET below == {c \in 0..(b - 1) : \E a \in Q : c \in Remembers(a, v)}
          IN proposal' = [proposal EXCEPT ![v][b] = IF below = {} THEN "aborted" ELSE ValueAt(v, Highest(below))]
  /\ UNCHANGED <<status, vote, promised, accepted, decree, retired, chain, disks>>

Accept(a, v, b) ==
  /\ MayTake(a) /\ proposal[v][b] # "none" /\ promised[a][v] <= b /\ b \notin accepted[a][v]
  /\ promised' = [promised EXCEPT ![a][v] = b]
  /\ accepted' = [accepted EXCEPT ![a][v] = @ \cup {b}]
  /\ UNCHANGED <<status, vote, proposal, decree, retired, chain, disks>>
-----------------------------------------------------------------------------
(* The handover. *)

\* The ballot that an acceptor reports of an instance; -1 if it accepted nothing.
Reported(a, v) ==
  LET held == Remembers(a, v)
  IN IF held = {} \/ (ReportLeavesOut /\ held = {0}) THEN -1
     ELSE IF LowestReported THEN Lowest(held) ELSE Highest(held)

Answer(a) ==
  IF retired[a] THEN [tells |-> "retired"]
  ELSE [tells |-> "ballots", of |-> [v \in Voters |-> Reported(a, v)]]

PromiseRound(a, n) ==
  /\ MayEnd(a)
  /\ \/ round[a] < n
     \/ Repeats /\ round[a] = n /\ n \notin endorsed[a] /\ report[a][n] # Answer(a)
  /\ round' = [round EXCEPT ![a] = n]
  /\ report' = [report EXCEPT ![a][n] = Answer(a)]
  /\ UNCHANGED <<instances, thawed, ending, endorsed, retired, chain, disks>>

\* The ending that follows from the reports of S in a round.
Follows(S, n) ==
  IF ~RetiredLeftOut /\ \E a \in S : report[a][n].tells = "retired" THEN "retired"
  ELSE LET telling == {a \in S : report[a][n].tells = "ballots"}
           top(v) == Highest({-1} \cup {report[a][n].of[v] : a \in telling})
           isPrepared(v) == top(v) >= 0 /\ ValueAt(v, top(v)) = "prepared"
           enough == IF OnePreparedIsEnough THEN \E v \in Voters : isPrepared(v) ELSE \A v \in Voters : isPrepared(v)
       IN IF enough THEN "committed" ELSE "neither"

\* As in Paxos: if one of the quorum has accepted an ending, the one of the highest round is proposed again.
ProposeEnding(n) ==
  /\ ending[n] = "none"
  /\ \E Q \in ReadQuorums : \E S \in IF TooFewReports THEN {{a} : a \in Q} ELSE {Q} :
       /\ \A a \in Q : report[a][n].tells # "nothing"
       /\ LET held == {m \in 1..(n - 1) : \E a \in Q : m \in endorsed[a]}
          IN ending' = [ending EXCEPT ![n] = IF held = {} \/ HeldEndingIgnored THEN Follows(S, n) ELSE ending[Highest(held)]]
  /\ UNCHANGED <<instances, round, thawed, report, endorsed, retired, chain, disks>>

AcceptEnding(a, n) ==
  /\ MayEnd(a) /\ ending[n] # "none" /\ round[a] <= n /\ n \notin endorsed[a]
  /\ round' = [round EXCEPT ![a] = n]
  /\ endorsed' = [endorsed EXCEPT ![a] = @ \cup {n}]
  /\ UNCHANGED <<instances, thawed, report, ending, retired, chain, disks>>

Thaw(a) ==
  /\ round[a] > 0 /\ ~thawed[a]
  /\ FreezeForgotten \/ (FreezeEndsEarly /\ SomeEndingChosen)
  /\ thawed' = [thawed EXCEPT ![a] = TRUE]
  /\ UNCHANGED <<instances, round, report, ending, endorsed, retired, chain, disks>>
-----------------------------------------------------------------------------
(* Learning, and what may be switched off. *)

LearnNew(a) ==
  /\ SomeEndingChosen /\ a \notin Dead /\ ~newKnows[a] /\ ~newGone
  /\ newKnows' = [newKnows EXCEPT ![a] = TRUE]
  /\ UNCHANGED <<instances, decree, retired, newestKnows, oldGone, newGone, disks>>

\* The second handover is abstract: all that matters is that only members who know their epoch can choose its ending.
LearnNewest(a) ==
  /\ \E Q \in Majorities(New) : \A b \in Q : newKnows[b]
  /\ a \notin Dead /\ ~newestKnows[a]
  /\ newestKnows' = [newestKnows EXCEPT ![a] = TRUE]
  /\ UNCHANGED <<instances, decree, retired, newKnows, oldGone, newGone, disks>>

SwitchOldOff ==
  /\ ~oldGone
  /\ \E Q \in (IF OffAfterOneNote THEN {{a} : a \in New} ELSE Majorities(New)) : \A a \in Q : newKnows[a]
  /\ oldGone' = TRUE
  /\ UNCHANGED <<instances, decree, retired, newKnows, newestKnows, newGone, disks>>

SwitchNewOff ==
  /\ Newest # {} /\ oldGone /\ ~newGone
  /\ \E Q \in Majorities(Newest) : \A a \in Q : newestKnows[a]
  /\ newGone' = TRUE
  /\ UNCHANGED <<instances, decree, retired, newKnows, newestKnows, oldGone, disks>>

Finished == \A p \in Participants : status[p] \in {"committed", "aborted"}

Retire(a) ==
  /\ Runs(a) /\ ~retired[a]
  /\ Finished \/ RetiresEarly
  /\ retired' = [retired EXCEPT ![a] = TRUE]
  /\ UNCHANGED <<instances, decree, chain, disks>>

\* What can be told to a participant or a client: what the instances chose, or what the ending says.
EndingSays(value) == EndingChosen(value) \/ (ActsOnProposal /\ \E n \in Rounds : ending[n] = value)
Told(outcome) ==
  \/ outcome = "committed" /\ (ChosenCommit \/ EndingSays("committed"))
  \/ outcome = "aborted" /\ (ChosenAbort \/ EndingSays("neither"))

Obey(p, outcome) ==
  /\ Told(outcome)
  /\ status[p] \in (IF outcome = "committed" THEN {"prepared"} ELSE {"working", "prepared"})
  /\ status' = [status EXCEPT ![p] = outcome]
  /\ UNCHANGED <<vote, promised, accepted, proposal, decree, retired, chain, disks>>
-----------------------------------------------------------------------------
(* Acceptors of a later epoch, that join late.  A participant may have voted before. *)

Join(a) ==
  /\ ~joined[a]
  /\ joined' = [joined EXCEPT ![a] = TRUE]
  /\ lost' = IF ActsBeforeJoining THEN [lost EXCEPT ![a] = accepted[a]] ELSE lost
  /\ UNCHANGED <<instances, decree, retired, chain>>

LoseDisk(a) ==
  /\ BlankDisk /\ joined[a] /\ lost[a] # accepted[a]
  /\ lost' = [lost EXCEPT ![a] = accepted[a]]
  /\ UNCHANGED <<instances, decree, retired, chain, joined>>
-----------------------------------------------------------------------------
Next ==
  \/ \E v \in Voters : VotePrepared(v) \/ VoteAborted(v)
  \/ \E a \in Old, v \in Voters : TakeVote(a, v) \/ \E b \in 1..TopBallot : Accept(a, v, b)
  \/ \E a \in Old, b \in 1..TopBallot : Promise(a, b)
  \/ \E v \in Voters, b \in 1..TopBallot : Propose(v, b)
  \/ \E n \in Rounds : ProposeEnding(n) \/ \E a \in Old : PromiseRound(a, n) \/ AcceptEnding(a, n)
  \/ \E a \in Old : Thaw(a) \/ Retire(a) \/ Join(a) \/ LoseDisk(a)
  \/ \E p \in Participants, outcome \in {"committed", "aborted"} : Obey(p, outcome)
  \/ \E a \in New : LearnNew(a)
  \/ \E a \in Newest : LearnNewest(a)
  \/ SwitchOldOff
  \/ SwitchNewOff
Spec == Init /\ [][Next]_vars
-----------------------------------------------------------------------------
(* What must hold in every state. *)

Agreement == ~\E p, q \in Participants : status[p] = "committed" /\ status[q] = "aborted"

Validity == (\E p \in Participants : status[p] = "committed") => \A p \in Participants : vote[p] = "prepared"

\* What anybody can be told contradicts neither itself nor what a participant did.
OracleHolds ==
  /\ ~(Told("committed") /\ Told("aborted"))
  /\ \A p \in Participants : /\ status[p] = "committed" => ~Told("aborted")
                             /\ status[p] = "aborted" => ~Told("committed")

OneEnding == \A x, y \in {"committed", "retired", "neither"} : EndingChosen(x) /\ EndingChosen(y) => x = y

\* What the instances chose is what the chosen ending says, unless everybody has finished.
Lemma ==
  SomeEndingChosen => /\ ChosenCommit => EndingChosen("committed") \/ EndingChosen("retired")
                      /\ ChosenAbort => EndingChosen("neither") \/ EndingChosen("retired")

RetiredIsFinished == EndingChosen("retired") => Finished

CommittedIsPrepared == EndingChosen("committed") => \A p \in Participants : vote[p] = "prepared"

\* Once machines are off, every phase-1 quorum of their successors has a node that knows the ending.
SuccessorsKnow ==
  oldGone => IF newGone THEN \A Q \in Majorities(Newest) : \E a \in Q : newestKnows[a]
             ELSE \A Q \in Majorities(New) : \E a \in Q : newKnows[a]

\* A frozen acceptor promises and accepts nothing in the instances, and stays frozen.
StaysFrozen ==
  [][\A a \in Old : Frozen(a) => Frozen(a)' /\ accepted'[a] = accepted[a] /\ promised'[a] = promised[a]]_vars

\* Acceptors of one kind can be exchanged for each other.
Alike == Permutations(Old \ Late) \cup Permutations(Late) \cup Permutations(New) \cup Permutations(Newest)
-----------------------------------------------------------------------------
(* Progress.  A participant hears only from machines that run; whoever finds an acceptor frozen carries on with the      *)
(* handover.  Fairness is assumed of the highest ballot and the highest round only, so that any other may be abandoned.  *)

Hears(p) ==
  /\ \/ ~oldGone
     \/ ~newGone /\ \E a \in New \ Dead : newKnows[a]
     \/ newGone /\ \E a \in Newest \ Dead : newestKnows[a]
  /\ oldGone => EndingChosen("committed") \/ EndingChosen("neither")
  /\ \E outcome \in {"committed", "aborted"} : Obey(p, outcome)

Renew(a) == (\E x \in Old : round[x] > 0) /\ PromiseRound(a, TopRound)

Fairness ==
  /\ \A p \in Participants : WF_vars(Hears(p))
  /\ \A v \in Voters : WF_vars(Propose(v, TopBallot))
  /\ \A a \in Old : /\ WF_vars(Promise(a, TopBallot))
                    /\ \A v \in Voters : WF_vars(Accept(a, v, TopBallot))
                    /\ NobodyRenews \/ WF_vars(Renew(a))
                    /\ WF_vars(AcceptEnding(a, TopRound))
                    /\ WF_vars(Join(a))
  /\ WF_vars(ProposeEnding(TopRound))
  /\ \A a \in New : WF_vars(LearnNew(a))
FairSpec == Spec /\ Fairness

\* Nobody stays prepared for ever.
NobodyIsLeft == \A p \in Participants : (status[p] = "prepared") ~> (status[p] \in {"committed", "aborted"})
=============================================================================
