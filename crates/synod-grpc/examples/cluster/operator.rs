//! What an operator does who replaces machines, as docs/OPERATING.md says: orders new ones and installs them, asks members for
//! a change, keeps configuration files true, and scraps what has left.

use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context;
use synod::NodeId;
use synod_grpc::Identity;

use crate::{
    cast::{CAST, CLUSTER, Name},
    fleet::Fleet,
    line::{Ask, Figures},
    node,
    papers::{self, Authority},
    places::{self, Places},
};

pub(crate) struct Operator {
    data: PathBuf,
    authority: Authority,
    places: Places,
    /// Addresses that nobody has.
    free: VecDeque<String>,
    /// The number of the next machine.
    next: u64,
    present: Present,
}

/// The present epoch, as far as the operator has seen.
#[derive(Clone, Debug)]
pub(crate) struct Present {
    pub(crate) number: u64,
    pub(crate) members: Vec<Name>,
    /// Whether those that are no members may be switched off for good.
    pub(crate) may_leave: bool,
}

impl Operator {
    /// Gives everyone an address and a certificate, and writes the founders into the configuration.
    pub(crate) fn open(data: &Path) -> anyhow::Result<Self> {
        let authority = papers::issue(data)?;
        let (places, free) = Places::find()?;
        let present = Present { number: 0, members: CAST.managers().collect(), may_leave: true };
        places.write(data)?;
        places::write_members(data, &present.members)?;
        Ok(Self { data: data.into(), authority, places, free, next: CAST.acceptors, present })
    }

    pub(crate) fn places(&self) -> &Places {
        &self.places
    }

    pub(crate) fn present(&self) -> &Present {
        &self.present
    }

    /// Starts a machine that was never there, with the present members in its configuration.
    pub(crate) fn install(&mut self, fleet: &mut Fleet) -> anyhow::Result<Name> {
        let name = Name::Manager(self.next);
        self.next += 1;
        self.authority.issue(Identity::node(CLUSTER, CAST.node(name)))?;
        self.places.set(name, self.free.pop_front().context("no address is free")?);
        self.places.write(&self.data)?;
        fleet.join(name)?;
        Ok(name)
    }

    /// Destroys the disk of `name`, which is down for good.
    pub(crate) fn wipe(&self, name: Name) -> anyhow::Result<()> {
        let database = node::database(&self.data, name);
        match fs::remove_dir_all(&database) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("wiping {}", database.display()))
            }
            _ => Ok(()),
        }
    }

    /// `name`, which is down, is no more: neither its disk nor its address.
    pub(crate) fn scrap(&mut self, fleet: &mut Fleet, name: Name) -> anyhow::Result<()> {
        fleet.bury(name);
        self.wipe(name)?;
        self.free.extend(self.places.remove(name));
        Ok(self.places.write(&self.data)?)
    }

    /// Asks `by` to have `old` replaced by `new`.
    pub(crate) fn ask(&self, fleet: &Fleet, by: Name, old: Name, new: Name) -> anyhow::Result<()> {
        let (old, contact) = (CAST.node(old).0, self.places.contact(new)?);
        fleet.ask(by, Ask::Replace { old, new: CAST.node(new).0, contact })
    }

    /// Looks who the members are, and has the configuration say so.
    pub(crate) fn follow(&mut self, fleet: &Fleet) -> anyhow::Result<()> {
        for (_, member) in fleet.members().iter().filter(|(_, member)| !member.is_outcast) {
            let Figures { epoch: Some(number), members, .. } = &member.figures else { continue };
            if *number > self.present.number {
                let members = members.iter().filter_map(|node| CAST.name(NodeId(*node))).collect();
                self.present = Present { number: *number, members, may_leave: false };
                places::write_members(&self.data, &self.present.members)?;
            }
        }
        let Present { number, members, may_leave } = &mut self.present;
        // Managers know, and only they.
        *may_leave |= fleet.members().iter().any(|(name, member)| {
            let Figures { epoch, may_leave, .. } = &member.figures;
            members.contains(name) && *epoch == Some(*number) && *may_leave
        });
        Ok(())
    }
}

/// In which epoch everyone is, in words.
pub(crate) fn epochs(fleet: &Fleet) -> String {
    let each = fleet.members().iter().map(|(name, member)| {
        let Figures { epoch, may_leave, .. } = member.figures;
        format!(
            "{name} is {:?}, in epoch {epoch:?}{}{}",
            member.state,
            if may_leave { ", safely" } else { "" },
            if member.is_outcast { ", as an outcast" } else { "" }
        )
    });
    each.collect::<Vec<_>>().join("; ")
}
