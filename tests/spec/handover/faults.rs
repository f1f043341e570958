//! What can be wrong with a handover.

/// A planted fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    FreezeForgotten,
    FreezeEndsEarly,
    FrozenTakes,
    TooFewReports,
    ActsOnProposal,
    HeldEndingIgnored,
    LowestReported,
    ReportLeavesOut,
    OnePreparedIsEnough,
    RetiredLeftOut,
    OffAfterOneNote,
    ActsBeforeJoining,
    BlankDisk,
    RetiresEarly,
    NobodyRenews,
}

impl Fault {
    pub(super) const ALL: [Self; 15] = [
        Self::FreezeForgotten,
        Self::FreezeEndsEarly,
        Self::FrozenTakes,
        Self::TooFewReports,
        Self::ActsOnProposal,
        Self::HeldEndingIgnored,
        Self::LowestReported,
        Self::ReportLeavesOut,
        Self::OnePreparedIsEnough,
        Self::RetiredLeftOut,
        Self::OffAfterOneNote,
        Self::ActsBeforeJoining,
        Self::BlankDisk,
        Self::RetiresEarly,
        Self::NobodyRenews,
    ];

    /// What it is called in `docs/spec/Handover.tla`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::FreezeForgotten => "an acceptor forgets at a restart that it is frozen",
            Self::FreezeEndsEarly => "a chosen ending ends the freeze",
            Self::FrozenTakes => "a frozen acceptor takes votes and promises",
            Self::TooFewReports => "an ending from fewer reports than a quorum's",
            Self::ActsOnProposal => "a proposed ending is acted on",
            Self::HeldEndingIgnored => "an ending that was accepted already is ignored",
            Self::LowestReported => "the lowest ballot is reported, not the highest",
            Self::ReportLeavesOut => "a report leaves out a vote that was told already",
            Self::OnePreparedIsEnough => "committed with one of two instances prepared",
            Self::RetiredLeftOut => "the ending leaves out what is retired",
            Self::OffAfterOneNote => "machines go off after one note",
            Self::ActsBeforeJoining => "an acceptor acts before it has joined, and loses that as it joins",
            Self::BlankDisk => "a blank disk comes back under its old name",
            Self::RetiresEarly => "an acceptor retires what not everybody has finished",
            Self::NobodyRenews => "nobody renews after the proposer's death",
        }
    }
}
