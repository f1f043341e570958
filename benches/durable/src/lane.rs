//! How batches get from who makes them to the disk: one after the other, or each made while the one before is written.

use std::{sync::mpsc, thread};

use anyhow::{Context, Result};

/// Makes batches.
pub trait Front {
    /// What a batch is made of.
    type Load;
    type Batch: Send;

    /// Does for the next batch whatever can be done while one is written.
    fn prepare(&mut self, load: Self::Load);

    /// The next batch. None is being written now.
    fn begin(&mut self) -> Self::Batch;

    /// Does what has waited for a batch.
    fn finish(&mut self, batch: Self::Batch);
}

/// Makes batches durable.
pub trait Back<B>: Send {
    fn write(&mut self, batch: B) -> Result<B>;
}

pub struct Lane<F, B> {
    pub front: F,
    pub back: B,
}

impl<F: Front, B: Back<F::Batch>> Lane<F, B> {
    /// Writes a batch of each load. All of them are durable when this returns, and nothing waits for them any more.
    pub fn write(&mut self, loads: Vec<F::Load>, overlapped: bool) -> Result<()> {
        if overlapped { self.overlapped(loads) } else { self.in_turn(loads) }
    }

    /// One thread does everything.
    fn in_turn(&mut self, loads: Vec<F::Load>) -> Result<()> {
        for load in loads {
            self.front.prepare(load);
            let written = self.back.write(self.front.begin())?;
            self.front.finish(written);
        }
        Ok(())
    }

    /// A second thread writes.
    fn overlapped(&mut self, loads: Vec<F::Load>) -> Result<()> {
        let Self { front, back } = self;
        let (to_back, batches) = mpsc::channel();
        let (to_front, written) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(move || batches.into_iter().try_for_each(|batch| to_front.send(back.write(batch))));
            let written = || written.recv().context("the thread that writes is gone")?;
            let mut first = true;
            for load in loads {
                front.prepare(load);
                if !first {
                    front.finish(written()?);
                }
                first = false;
                to_back.send(front.begin()).ok().context("the thread that writes is gone")?;
            }
            drop(to_back);
            front.finish(written()?);
            Ok(())
        })
    }
}
