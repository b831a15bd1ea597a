//! RIPAS changes over a whole range: the loop that partial answers ask for.

use crate::definitions::{ChangeDestroyed, Ripas};
use crate::guest::{Conduit, Error, Rsi};

/// Requests without progress after which the host is taken to refuse.
const PATIENCE: u32 = 8;

/// Why a range is not in the state asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// The RMM refused a call.
    #[error("RSI call failed: {0}")]
    Rsi(#[from] Error),
    /// The host answered RSI_REJECT.
    #[error("host rejected the change at {at:#x}")]
    Rejected {
        /// First address not changed.
        at: u64,
    },
    /// The host makes no progress, or the granule is DESTROYED and was not to be changed.
    #[error("no progress at {at:#x}")]
    NoProgress {
        /// First address not changed.
        at: u64,
    },
    /// The RMM reported an address outside the range.
    #[error("RMM reports progress to {0:#x}, outside the range")]
    Outside(u64),
    /// RSI_IPA_STATE_GET disagrees after the change.
    #[error("{at:#x} is {found:?}")]
    Found {
        /// First address in another state.
        at: u64,
        /// Its state.
        found: Ripas,
    },
}

impl<C: Conduit> Rsi<C> {
    /// Brings `[base, top)` into the state `ripas` and verifies it.
    ///
    /// Contents are undefined afterwards wherever the state changed.
    pub fn set_range(
        &mut self,
        base: u64,
        top: u64,
        ripas: Ripas,
        destroyed: ChangeDestroyed,
    ) -> Result<(), RangeError> {
        let mut at = base;
        let mut idle = 0;
        while at < top {
            let change = self.ipa_state_set(at, top, ripas, destroyed)?;
            if !change.accepted {
                return Err(RangeError::Rejected { at: change.new_base });
            }
            if change.new_base < at || change.new_base > top {
                return Err(RangeError::Outside(change.new_base));
            }
            idle = if change.new_base == at { idle + 1 } else { 0 };
            if idle >= PATIENCE {
                return Err(RangeError::NoProgress { at });
            }
            at = change.new_base;
        }
        self.verify_range(base, top, ripas)
    }

    /// Checks that all of `[base, top)` is in the state `ripas`.
    pub fn verify_range(&mut self, base: u64, top: u64, ripas: Ripas) -> Result<(), RangeError> {
        let mut at = base;
        while at < top {
            let run = self.ipa_state_get(at, top)?;
            if run.ripas != ripas {
                return Err(RangeError::Found { at, found: run.ripas });
            }
            if run.top <= at || run.top > top {
                return Err(RangeError::Outside(run.top));
            }
            at = run.top;
        }
        Ok(())
    }
}
